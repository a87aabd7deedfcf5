import dataclasses
import pickle

import numpy as np
import pytest
import torch
from ase import Atoms

from equipot.ase import EquipotCalculator
from equipot.errors import ConfigError, DataError
from equipot.model import EnergyTerm, EnergyTermModule
from equipot_engines import MLIAPModel
from equipot_test_support.mliap import Arrays, Tensors


def halves(atoms):
    """Two processes, which divide the cell in the middle."""
    first = atoms.get_scaled_positions()[:, 0] < 0.5
    return [np.flatnonzero(first), np.flatnonzero(~first)]


def served(wrapper, atoms, kind, parts):
    """What every process wrote."""
    found = []
    for owned in parts:
        found.append(kind(atoms, owned, wrapper.element_types, wrapper.rcutfac + 0.7))
        wrapper.compute_forces(found[-1])
    return found


@pytest.mark.parametrize("kind", [Arrays, Tensors])
@pytest.mark.parametrize("number", [1, 2])
def test_processes_together_give_what_ase_gives(model, crystals, kind, number):
    atoms = crystals(3)[2]
    wrapper = MLIAPModel(model)
    parts = halves(atoms) if number == 2 else [np.arange(len(atoms))]
    found = served(wrapper, atoms, kind, parts)
    atoms.calc = EquipotCalculator(model)
    assert sum(one.energy for one in found) == pytest.approx(atoms.get_potential_energy(), abs=1e-10)
    for one, owned in zip(found, parts, strict=True):
        assert np.abs(one.written - atoms.get_potential_energies()[owned]).max() < 1e-10
    assert np.abs(sum(one.forces(len(atoms)) for one in found) - atoms.get_forces()).max() < 1e-10
    expected = -atoms.get_stress(voigt=False) * atoms.get_volume()
    assert np.abs(sum(one.virial() for one in found) - expected).max() < 1e-10


def test_a_process_without_atoms(model, crystals):
    atoms = crystals(1)[0]
    (found,) = served(MLIAPModel(model), atoms, Arrays, [[]])
    assert found.ntotal == 0
    assert not hasattr(found, "energy")


def test_a_lonely_atom_has_its_energy(model):
    atoms = Atoms("O", cell=[20.0] * 3, pbc=True)
    (found,) = served(MLIAPModel(model), atoms, Arrays, [[0]])
    assert found.npairs == 0
    assert found.energy == pytest.approx(EquipotCalculator(model).get_potential_energy(atoms), abs=1e-12)


def test_it_travels_as_a_file(model, crystals, tmp_path):
    atoms = crystals(2)[1]
    wrapper = MLIAPModel(model)
    wrapper.pickle(str(tmp_path / "model.pkl"))
    again = pickle.loads((tmp_path / "model.pkl").read_bytes())  # noqa: S301 - written above
    assert (again.element_types, again.rcutfac, again.ndescriptors) == (["C", "H", "O"], 4.0, 1)
    one, other = (served(each, atoms, Arrays, [np.arange(len(atoms))])[0] for each in (wrapper, again))
    assert one.energy == other.energy
    assert np.array_equal(one.fij, other.fij)


@dataclasses.dataclass(frozen=True, kw_only=True)
class FarTerm(EnergyTerm):
    """Pairs up to 5 Å, with edges of their own."""

    def own_r_max(self):
        return 5.0

    def build(self, context):
        class Module(EnergyTermModule):
            requires = ("edge_index", "edge_lengths", "atom_types")
            r_max = 5.0
            locality = "strict"

            def forward(self, data):
                pairs = (1.0 - data["edge_lengths"] / 5.0).clamp(min=0.0) ** 3
                return torch.zeros(len(data["atom_types"]), dtype=pairs.dtype).index_add(
                    0, data["edge_index"][0], pairs
                )

        return Module()


def test_terms_with_their_own_radius(make_model, crystals):
    model = make_model(energy_terms={"far": FarTerm()}, per_type_energy_shifts=None)
    atoms, wrapper = crystals(3)[2], MLIAPModel(model)
    assert wrapper.rcutfac == 5.0
    found = served(wrapper, atoms, Arrays, halves(atoms))
    assert (
        np.abs(sum(one.forces(len(atoms)) for one in found) - EquipotCalculator(model).get_forces(atoms)).max() < 1e-10
    )


def test_what_is_refused(model, energy_model, charged_model):
    with pytest.raises(ConfigError, match=r"MLIAPModel.model: has no forces"):
        MLIAPModel(energy_model)
    with pytest.raises(ConfigError, match=r"MLIAPModel.model: reads total_charge"):
        MLIAPModel(charged_model)
    calculator = EquipotCalculator(model)
    calculator.model = lambda data: data
    with pytest.raises(ConfigError, match=r"MLIAPModel.model: must not be compiled; give the package"):
        MLIAPModel(calculator)


def test_errors_stop(model):
    close = Atoms("CO", positions=[[0, 0, 0], [0, 0, 0.05]])
    with pytest.raises(DataError, match=r"local atom 0 has a force of .* more than max_force=1000"):
        served(MLIAPModel(EquipotCalculator(model, max_force=1e3)), close, Arrays, [[0, 1]])
    with torch.no_grad():
        model.scale_shift.shifts[0] = float("nan")
    with pytest.raises(DataError, match="MLIAPModel: the model gives energies or forces that are not finite"):
        served(MLIAPModel(model), close, Arrays, [[0, 1]])
