import ase.io
import numpy as np
import pytest
from ase import Atoms

from equipot.data._collection import collect_frames
from equipot.data._energy_references import collect_references
from equipot.data._frames import label_contract
from equipot.data._label_units import unit_values
from equipot.data._readers import read_placed
from equipot.data.checks._energy_checks import (
    MISTAKEN,
    described,
    energy_findings,
    shift_findings,
)
from equipot.data.transforms import ChemicalSpeciesToAtomTypeMapper
from equipot.units import KCAL_PER_MOL_IN_EV
from equipot_test_support import ROOT
from equipot_test_support.water import labelled

ATOMS = {"H": -13.6, "C": -1027.3, "O": -2038.5}
"""Energies of atoms of an all-electron code, eV."""

BOND = -4.0
"""Binding energy per atom, eV."""

FORMULAS = ("CH4", "H2O", "C2H6O", "CO2", "H2", "C2H2")


def molecules(atoms=ATOMS, bond=BOND, unit=1.0):
    """Molecules whose energies are those of their atoms and bonds."""
    rng = np.random.default_rng(0)
    made = []
    for formula in FORMULAS * 3:
        one = Atoms(formula)
        one.positions = rng.normal(scale=3.0, size=(len(one), 3))
        energy = sum(atoms[symbol] for symbol in one.symbols) + bond * len(one) + rng.normal(scale=0.1)
        made.append(labelled(one, energy=energy * unit))
    return made


def lone(symbol, energy, *, cell=None, marked=False):
    one = labelled(Atoms(symbol, cell=cell, pbc=cell is not None), energy=energy)
    if marked:
        one.info["config_type"] = "IsolatedAtom"
    return one


def collection(frames):
    placed = ((f"a.extxyz, frame {index}", one) for index, one in enumerate(frames))
    return collect_frames(placed, label_contract(None))


IN_EV = unit_values(MISTAKEN, "energy")


def found(frames, shifts, units="metal"):
    return energy_findings({"train": collection(frames)}, shifts, units=units)


def codes(findings):
    return [one.code for one in findings]


class TestLevel:
    @pytest.mark.parametrize(
        ("shifts", "reason"),
        [
            (dict.fromkeys(ATOMS, 0.0), "the shifts are zero"),
            ({name: energy / IN_EV["Hartree"] for name, energy in ATOMS.items()}, "the shifts look like Hartree"),
            ({name: energy / IN_EV["Rydberg"] for name, energy in ATOMS.items()}, "the shifts look like Rydberg"),
            ({"H": -12.5, "C": -150.0, "O": -430.0}, "another code, functional or pseudopotential"),
            ({"H": -1.1, "C": -1.3, "O": -1.6}, "the energies look like total energies, the shifts like binding"),
        ],
    )
    def test_shifts_of_another_level(self, shifts, reason):
        (finding,) = found(molecules(), shifts)
        assert finding.code == "energy-offset"
        assert finding.count == 18
        assert finding.example == "train"
        assert reason in finding.message

    def test_energies_in_hartree(self):
        (finding,) = found(molecules(unit=1 / IN_EV["Hartree"]), ATOMS)
        assert "the energies look like Hartree" in finding.message

    def test_cohesive_energies_with_shifts_of_atoms(self):
        (finding,) = found(molecules(atoms=dict.fromkeys(ATOMS, 0.0)), ATOMS)
        assert "the energies look like binding energies, relative to atoms" in finding.message
        assert found(molecules(atoms=dict.fromkeys(ATOMS, 0.0)), dict.fromkeys(ATOMS, 0.0)) == []

    @pytest.mark.parametrize("bond", [-8.9, -4.0, -0.01, 2.0])
    def test_binding_energies_are_accepted(self, bond):
        """Tungsten binds by 8.9 eV per atom, strongest of all elements; compressed matter is not bound at all."""
        assert found(molecules(bond=bond), ATOMS) == []

    def test_kilocalories(self):
        unit = 1 / KCAL_PER_MOL_IN_EV
        shifts = {name: energy * unit for name, energy in ATOMS.items()}
        assert found(molecules(unit=unit), shifts, "real") == []
        assert codes(found(molecules(unit=unit), shifts, "metal")) == ["energy-offset"]


class TestIsolatedAtoms:
    def test_shifts_that_contradict_them(self):
        frames = [*molecules(), *(lone(symbol, energy) for symbol, energy in ATOMS.items())]
        assert found(frames, ATOMS) == []
        mean = np.mean([one.calc.results["energy"] / len(one) for one in molecules()])
        finding, other = found(frames, dict.fromkeys(ATOMS, mean))
        assert finding.code == "shifts-contradict-isolated-atoms"
        assert "one shift for all elements does not fit different compositions" in other.message
        assert finding.count == 3
        assert f"H {mean:.6g} instead of -13.6" in finding.message
        (finding,) = found(frames, {**ATOMS, "O": -2038.3})
        assert (finding.count, "O -2038.3 instead of -2038.5" in finding.message) == (1, True)
        assert found(frames, {**ATOMS, "O": -2038.45}) == [], "rounded numbers"

    @pytest.mark.parametrize("marks", [{"marked": True}, {"cell": [15.0] * 3}])
    def test_in_a_cell(self, marks):
        frames = [*molecules(), *(lone(symbol, energy, **marks) for symbol, energy in ATOMS.items())]
        shifts = {name: energy - 1.0 for name, energy in ATOMS.items()}
        assert codes(found(frames, shifts)) == ["shifts-contradict-isolated-atoms"]


def test_without_frames_or_energies():
    assert energy_findings({}, ATOMS) == []
    assert found([Atoms("H2", [[0, 0, 0], [0, 0, 1]])], ATOMS) == []
    assert found(molecules(), {"H": 0.0}) == [], "which has no shift for the others"


def test_findings_by_type():
    frames = collection(molecules())
    mapper = ChemicalSpeciesToAtomTypeMapper(["one", "two"], {"H": "one", "C": "two", "O": "two"})
    references = collect_references([(frame, False) for frame in frames.frames], mapper)
    (finding,) = shift_findings(references, {"one": 0.0, "two": 0.0})
    (line,) = described([finding])
    assert line.startswith("warning [energy-offset] less the shifts, energies are ")


@pytest.mark.parametrize("name", ["ethanol_pbe", "water_gfn1"])
def test_example_data_with_their_own_atoms(name):
    files = [str(ROOT / f"examples/data/{name}{suffix}.extxyz") for suffix in ("", "_isolated_atoms")]
    atoms = {str(one.symbols): one.calc.results["energy"] for one in ase.io.read(files[1], ":")}
    sets = {"train": collect_frames(read_placed(files), label_contract(None))}
    assert energy_findings(sets, shifts=atoms) == []
    swapped = dict(zip(atoms, reversed(atoms.values()), strict=True))
    assert "shifts-contradict-isolated-atoms" in codes(energy_findings(sets, shifts=swapped))


REAL = [
    "acac",
    "ethanol_botnet",
    "ecemc/ECEMC.xyz",
    "mattersim_dev/mptrj-random-1k.xyz",
    "small_mixed/carbon_reduced_100.xyz",
]


@pytest.mark.slow
@pytest.mark.parametrize("name", REAL)
def test_no_warning_on_public_data(extra_data, name):
    """With the energies that per_type_energy_shifts_auto gives."""
    path = extra_data / name
    paths = [path] if path.is_file() else [path / "isolated_atoms.xyz", *sorted(path.glob("train*.xyz"))]
    frames = collect_frames(read_placed(map(str, paths)), label_contract(None), mask_nan=True)
    numbers = {number for composition in frames.compositions for number, _ in composition}
    symbols = sorted(ase.data.chemical_symbols[number] for number in numbers)
    alone = [sum(number for _, number in one) == 1 for one in frames.compositions]
    pairs = zip(frames.frames, alone, strict=True)
    chosen = collect_references(pairs, ChemicalSpeciesToAtomTypeMapper(symbols)).choose()
    warnings = [one for one in energy_findings({"train": frames}, shifts=chosen.values) if one.severity != "note"]
    assert warnings == []
