"""Faults planted in real frames: which check speaks, of how many frames, and which it names."""

import ase.io
import numpy as np
import pytest
from ase import Atoms, units
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.calculators.singlepoint import SinglePointCalculator

from equipot.data._collection import collect_frames
from equipot.data._frames import label_contract
from equipot.data.checks._consistency import consistency_findings
from equipot_test_support import ROOT
from equipot_test_support.scripts import load_script
from equipot_test_support.water import labelled

CONTRACT = label_contract(None)
faults = load_script("benchmarks/data_checks/faults.py")
copy, energy, forces, stress = faults.copy, faults.energy, faults.forces, faults.stress


def collection(frames, name="a.xyz"):
    return collect_frames(((f"{name}, frame {index}", one) for index, one in enumerate(frames)), CONTRACT)


def judge(frames, **options):
    return consistency_findings({"train": collection(frames)}, CONTRACT, **options)


def warned(frames, **options):
    """The only warning."""
    findings, _ = judge(frames, **options)
    (one,) = [finding for finding in findings if finding.severity == "warning"]
    return one


@pytest.fixture(scope="module")
def water():
    """GFN1-xTB: periodic, with stress."""
    return ase.io.read(ROOT / "examples/data/water_gfn1.extxyz", ":50")


@pytest.fixture(scope="module")
def ethanol():
    """PBE: molecules."""
    return ase.io.read(ROOT / "examples/data/ethanol_pbe.extxyz", ":110")


@pytest.fixture(scope="module")
def alloy():
    """Effective medium theory, copper and gold in lopsided cells; sizes differ."""
    rng, made = np.random.default_rng(4), []
    for index in range(48):
        atoms = bulk("Cu", "fcc", rng.uniform(3.6, 3.9), cubic=True).repeat((2, 1, 1 + index % 2))
        atoms.numbers[::3] = 79
        atoms.set_cell(atoms.cell.array @ (np.eye(3) + rng.normal(scale=0.04, size=(3, 3))), scale_atoms=True)
        atoms.positions += rng.normal(scale=0.12, size=(len(atoms), 3))
        atoms.calc = EMT()
        labels = {"energy": atoms.get_potential_energy(), "forces": atoms.get_forces(), "stress": atoms.get_stress()}
        atoms.calc = SinglePointCalculator(atoms, **labels)
        made.append(atoms)
    return made


@pytest.mark.parametrize("name", ["water", "ethanol", "alloy"])
def test_sound_sets_pass(name, request):
    assert judge(request.getfixturevalue(name)) == ([], {})


def scaled(frames, energy_unit=1.0, force_unit=1.0):
    return [copy(one, energy=energy(one) / energy_unit, forces=forces(one) / force_unit) for one in frames]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("unit", "said"),
    [
        ((1.0, units.Hartree / units.Bohr), "forces look like Hartree/Bohr"),
        ((1.0, units.Rydberg / units.Bohr), "forces look like Rydberg/Bohr"),
        ((1.0, units.kcal / units.mol), "forces look like kcal/mol/Å"),
        ((units.Hartree, 1.0), "energies look like Hartree"),
        ((units.kcal / units.mol,) * 2, "energies look like kcal/mol and forces look like kcal/mol/Å"),
        ((units.Hartree, units.Hartree / units.Bohr), "energies look like Hartree and forces look like Hartree/Bohr"),
    ],
)
def test_units_are_named(ethanol, unit, said):
    findings, _ = judge(scaled(ethanol, *unit))
    first = findings[0]
    assert (first.code, first.count, first.example) == ("forces-unit", 110, "a.xyz, frame 0")
    assert first.message.startswith(said)


def test_units_of_the_project_are_no_fault(ethanol):
    real = scaled(ethanol, units.kcal / units.mol, units.kcal / units.mol)
    assert judge(real, units="real") == ([], {})
    assert warned(ethanol, units="real").code == "forces-unit"


@pytest.mark.parametrize(
    ("flipped", "said"), [("forces", "forces on hydrogen push"), ("energy", "the energies have the wrong")]
)
def test_signs_are_told_apart(ethanol, flipped, said):
    label = {"forces": forces, "energy": energy}[flipped]
    one = warned([copy(frame, **{flipped: -label(frame)}) for frame in ethanol])
    assert (one.code, one.count) == ("forces-sign", 110)
    assert one.message.startswith(said)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("change", "code", "said"),
    [
        (lambda one: -stress(one), "stress-sign", "positive under compression"),
        (lambda one: stress(one) / units.GPa, "stress-unit", "GPa (factor 160.2)"),
        (lambda one: -10 * stress(one) / units.GPa, "stress-unit", "kbar and positive under compression"),
        (lambda one: -stress(one) * one.get_volume(), "stress-unit", "a virial in eV"),
        (lambda one: stress(one)[[0, 1, 2, 5, 3, 4]], "stress-order", "xx yy zz xy yz xz"),
        (lambda one: stress(one)[[0, 1, 2, 5, 4, 3]], "stress-order", "xx yy zz xy xz yz"),
    ],
)
def test_stress(alloy, change, code, said):
    one = warned([copy(frame, stress=change(frame)) for frame in alloy])
    assert (one.code, one.count) == (code, 48)
    assert said in one.message


def test_forces_of_the_previous_frame_and_of_another_order(water):
    shifted = [copy(one, forces=forces(water[index - 1])) for index, one in enumerate(water)]
    one = warned(shifted)
    assert (one.code, one.count) == ("forces-unrelated", 50)
    assert "they are those of the previous frame" in one.message or "they are those of the next frame" in one.message
    mixed = [frame[np.random.default_rng(index).permutation(len(frame))] for index, frame in enumerate(water)]
    for frame, before in zip(mixed, water, strict=True):
        order = np.random.default_rng(water.index(before)).permutation(len(before))
        frame.calc = SinglePointCalculator(frame, energy=energy(before), forces=forces(before)[order])
    by_number = [copy(one, forces=forces(one)[np.argsort(one.numbers, kind="stable")]) for one in mixed]
    assert "they are in the order of the atomic numbers" in warned(by_number).message


def test_one_frame_with_shuffled_forces(water):
    frames = [*water]
    frames[17] = copy(water[17], forces=forces(water[17])[::-1])
    one = warned(frames)
    assert (one.code, one.count, one.example) == ("forces-misplaced", 1, "a.xyz, frame 17")


def test_a_molecule_that_its_forces_turn(ethanol):
    turn = np.array([[0.0, 1.0, 0.0], [-1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
    frames = [*ethanol]
    frames[5] = copy(ethanol[5], forces=forces(ethanol[5]) @ turn)
    findings, _ = judge(frames)
    torque = {one.code: one for one in findings}["forces-torque"]
    assert (torque.count, torque.example) == (1, "a.xyz, frame 5")


@pytest.mark.slow
def test_energy_of_one_frame(ethanol):
    frames = [*ethanol]
    frames[20] = copy(ethanol[20], energy=energy(ethanol[20]) + 10.0)
    one = warned(frames)
    assert (one.code, one.count, one.example) == ("energy-outlier", 1, "a.xyz, frame 20")
    assert "off by up to 9" in one.message or "off by up to 10" in one.message
    frames[20] = copy(ethanol[20], energy=energy(ethanol[20]) + 1.0)
    findings, _ = judge(frames)
    assert [(found.code, found.severity, found.example) for found in findings] == [
        ("energy-residual", "note", "a.xyz, frame 20")
    ]


def test_energies_that_did_not_converge(ethanol):
    wrong = range(4, 110, 15)
    frames = [copy(one, energy=energy(one) + (2.0 if index in wrong else 0.0)) for index, one in enumerate(ethanol)]
    one = warned(frames)
    assert (one.code, one.count) == ("energy-raised", len(wrong))
    assert set(one.places) == {f"a.xyz, frame {index}" for index in wrong}
    assert "too high" in one.message


def test_two_levels_of_theory(ethanol):
    other = range(0, 110, 3)
    frames = [copy(one, energy=energy(one) - (7.0 if index in other else 0.0)) for index, one in enumerate(ethanol)]
    one = warned(frames)
    assert (one.code, one.count) == ("energy-levels", len(other))
    assert set(one.places) == {f"a.xyz, frame {index}" for index in other}
    assert "about 0.77" in one.message or "about 0.78" in one.message


def test_energies_per_atom(alloy):
    shifted = [copy(one, energy=energy(one) - 50.0 * len(one)) for one in alloy]
    assert judge(shifted)[0] == []
    one = warned([copy(frame, energy=energy(frame) / len(frame)) for frame in shifted])
    assert (one.code, one.count) == ("energy-per-atom", 48)


@pytest.mark.slow
def test_isolated_atoms_with_another_zero(ethanol):
    alone = ase.io.read(ROOT / "examples/data/ethanol_pbe_isolated_atoms.extxyz", ":")
    assert {atom.info["config_type"] for atom in alone} == {"IsolatedAtom"}
    assert judge([*ethanol, *alone])[0] == []
    sums = {atom.numbers[0]: energy(atom) for atom in alone}
    cohesive = [copy(one, energy=energy(one) - sum(sums[z] for z in one.numbers)) for one in ethanol]
    one = warned([*cohesive, *alone])
    assert (one.code, one.count) == ("energy-cohesive", 110)
    assert judge(cohesive)[0] == [], "without the isolated atoms nothing contradicts"


def fixed(atoms):
    """Rows of the lower half of the atoms."""
    return atoms.positions[:, 2:] < np.median(atoms.positions[:, 2])


def test_zeroed_forces(water):
    frames = [copy(one, forces=np.where(fixed(one), 0.0, forces(one))) for one in water]
    found = {one.code: one for one in judge(frames)[0]}["forces-zeroed"]
    sums = [(np.linalg.norm(forces(one).sum(axis=0)), np.linalg.norm(forces(one), axis=1).sum()) for one in frames]
    unbalanced = [index for index, (net, all_) in enumerate(sums) if net > 0.01 * all_]
    assert len(unbalanced) > 40, "a few halves balance by chance"
    assert found.places == tuple(f"a.xyz, frame {index}" for index in unbalanced)
    assert f"{18 * len(unbalanced)} of {50 * 36} atoms" in found.message


def test_an_element_with_a_wrong_label(ethanol):
    frames = [*ethanol]
    frames[61] = copy(ethanol[61], numbers=np.where(ethanol[61].numbers == 8, 6, ethanol[61].numbers))
    findings, _ = judge(frames)
    one = {found.code: found for found in findings}["element-label"]
    assert (one.count, one.example) == (1, "a.xyz, frame 61")
    assert "C3H6 has the energy of C2H6O" in one.message


@pytest.mark.slow
def test_positions_in_other_units(water):
    bohr = [copy(one, positions=one.positions / units.Bohr, cell=one.cell.array / units.Bohr) for one in water]
    findings, reasons = judge(bohr)
    assert [one.code for one in findings] == ["positions-unit"]
    assert "look like Bohr" in findings[0].message
    assert set(reasons.values()) == {"the structures are in doubt"}
    fractions = warned([copy(one, positions=one.get_scaled_positions()) for one in water])
    assert "fractions of the cell" in fractions.message
    nm = warned([copy(one, positions=one.positions / 10, cell=one.cell.array / 10) for one in water])
    assert "look like nm" in nm.message


def test_transposed_cells():
    rng, made = np.random.default_rng(8), []
    for _ in range(30):
        atoms = bulk("Cu", "hcp", a=2.6, c=4.2).repeat(2)
        atoms.positions += rng.normal(scale=0.05, size=(len(atoms), 3))
        atoms.calc = EMT()
        labels = {"energy": atoms.get_potential_energy(), "forces": atoms.get_forces()}
        atoms.calc = SinglePointCalculator(atoms, **labels)
        made.append(atoms)
    assert judge(made)[0] == []
    findings, _ = judge([copy(one, cell=one.cell.array.T) for one in made])
    assert [one.code for one in findings] == ["cell-transposed"]
    assert findings[0].count == 30


def test_what_is_wrong_with_the_cell_is_said_and_not_what_follows_from_it(alloy):
    lost = [copy(one, cell=np.zeros((3, 3)), pbc=False, stress=None) for one in alloy]
    findings, reasons = judge(lost)
    assert [one.code for one in findings] == ["cell-lost"]
    assert findings[0].count > 40
    assert set(reasons.values()) == {"the structures are in doubt"}
    findings, reasons = judge([copy(one, pbc=[True, False, True]) for one in alloy])
    assert (findings, set(reasons.values())) == ([], {"the structures are in doubt"}), "pbc-missing says the rest"


@pytest.mark.slow
def test_each_set_is_judged_by_itself(ethanol):
    wrong = [copy(one, forces=-forces(one)) for one in ethanol]
    sets = {"train": collection(ethanol), "val0": collection(wrong, "b.xyz")}
    (one,), reasons = consistency_findings(sets, CONTRACT)
    assert (one.code, one.example) == ("forces-sign", "b.xyz, frame 0")
    assert reasons == {}


def test_what_cannot_be_judged_is_said(ethanol):
    without = [copy(one, forces=None) for one in ethanol]
    findings, reasons = judge(without)
    assert findings == []
    assert reasons["forces-unrelated"] == reasons["energy-outlier"] == "no forces"
    sets = {"train": collection(ethanol), "val0": collection(ethanol[:5])}
    assert consistency_findings(sets, CONTRACT) == ([], {}), "a fit to one set is enough to apply a check"
    lone = Atoms("H", calculator=None)
    lone.calc = SinglePointCalculator(lone, energy=-13.6)
    assert judge([lone]) == ([], {})


def test_dimers_that_are_pulled_apart_are_not_in_bohr():
    frames = [
        labelled(Atoms("CO", [[0, 0, 0], [0, 0, distance]]), energy=-1.0) for distance in np.arange(1.0, 5.0, 0.1)
    ]
    assert "positions-unit" not in [one.code for one in judge(frames)[0]]


@pytest.mark.slow
def test_the_same_frames_give_the_same_findings(water):
    wrong = [copy(one, stress=-stress(one)) for one in water]
    assert judge(wrong) == judge(wrong)


# ------------------------------------------------------------------------ public data

measure = load_script("benchmarks/data_checks/measure.py")


of_public_data = pytest.mark.filterwarnings(  # their loaders leave files open
    "ignore::pytest.PytestUnraisableExceptionWarning", "ignore::ResourceWarning"
)


@of_public_data
@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["acac_600K", "rmd17_benzene", "silicon", "lithium", "magnesia_test", "graphite", "mptrj"]
)
def test_no_warning_on_public_sets(extra_data, name):
    findings, _ = judge(measure.public_sets(extra_data)[name]())
    assert [one for one in findings if one.severity != "note"] == []


@of_public_data
@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("acac_600K", "forces in Hartree/Bohr"),
        ("acac_600K", "one frame: forces shuffled"),
        ("rmd17_benzene", "energies in kcal/mol"),
        ("lithium", "stress as xx yy zz xy yz zx"),
        ("magnesia_test", "virial as stress"),
        ("graphite", "stress in GPa"),
    ],
)
def test_faults_in_public_sets_are_named(extra_data, name, fault):
    frames = measure.public_sets(extra_data)[name]()
    planted = faults.plant(frames, np.random.default_rng(5))[fault]
    findings, _ = judge(planted.frames)
    (right,) = [one for one in findings if one.code in planted.codes and one.severity == "warning"][:1]
    assert planted.hint in right.message
    if planted.indices:
        assert right.example == f"a.xyz, frame {planted.indices[0]}"
