"""Stresses of single atoms in ASE."""

import copy
import dataclasses
import pickle

import ase
import numpy as np
import pytest
import torch
from ase import Atoms
from ase.calculators.calculator import PropertyNotImplementedError
from ase.stress import full_3x3_to_voigt_6_stress, voigt_6_to_full_3x3_stress

from equipot.ase import EquipotCalculator
from equipot.ase import _evaluate_in_parts as in_parts
from equipot.model import EnergyModule, ModelBuilder
from equipot.units import KCAL_PER_MOL_IN_EV
from equipot_test_support.crystals import crystal
from equipot_test_support.engines import record_capability
from equipot_test_support.terms import Trap


class Pairs(EnergyModule):
    """Half of a smooth pair energy on either end of a pair."""

    requires = ("edge_lengths", "normalized_edge_lengths", "edge_index", "atom_types")
    locality = "strict"

    def forward(self, data):
        edges = 3.0 * (1.0 - data["normalized_edge_lengths"]) ** 4 * (1.5 - data["edge_lengths"])
        zeros = torch.zeros(len(data["atom_types"]), dtype=edges.dtype)
        return {"atomic_energy": zeros.index_add(0, data["edge_index"][0], edges)}


@dataclasses.dataclass(frozen=True, kw_only=True)
class PairModel(ModelBuilder):
    def build_energy(self, context):
        return Pairs()


def strain_derivative(atoms, calculator, energy_of, eps=1e-5):
    """dE/d(strain) / volume by central differences, in Voigt's order."""
    found = np.zeros((3, 3))
    for row, column in ((0, 0), (1, 1), (2, 2), (0, 1), (0, 2), (1, 2)):
        energies = []
        for sign in (1.0, -1.0):
            strain = np.eye(3)
            strain[row, column] += 0.5 * sign * eps
            strain[column, row] += 0.5 * sign * eps
            moved = atoms.copy()
            moved.set_cell(atoms.cell.array @ strain, scale_atoms=True)
            energies.append(energy_of(calculator.get_property("energies", moved)))
        found[row, column] = found[column, row] = (energies[0] - energies[1]) / (2 * eps * atoms.get_volume())
    return full_3x3_to_voigt_6_stress(found)


def test_their_sum_is_the_stress(model):
    atoms = crystal()
    atoms.calc = EquipotCalculator(model)
    stresses = atoms.get_stresses()
    assert stresses.shape == (len(atoms), 6)
    assert np.abs(stresses).max() > 1e-3
    assert np.abs(stresses.sum(axis=0) - atoms.get_stress()).max() < 1e-15
    full = atoms.get_stresses(voigt=False)
    assert np.array_equal(full, np.array([voigt_6_to_full_3x3_stress(one) for one in stresses]))
    assert "stresses" in atoms.calc.implemented_properties
    record_capability("ASE", "stress of each atom", version=ase.__version__, command="atoms.get_stresses()")


def test_for_pairs_they_are_derivatives_of_the_energies_of_atoms():
    calculator = EquipotCalculator(PairModel(type_names=["C", "O"], r_max=4.0, model_dtype="float64").build())
    atoms = crystal()
    stresses = calculator.get_property("stresses", atoms)
    for index in range(len(atoms)):
        expected = strain_derivative(atoms, calculator, lambda energies, index=index: energies[index])
        assert np.abs(expected).max() > 1e-3
        assert np.abs(stresses[index] - expected).max() < 1e-9


def test_for_atoms_that_do_not_interact_they_add_up_to_the_derivatives_of_their_energies(model):
    """Two molecules out of each other's reach: how atoms share is a convention, how molecules do is not."""
    atoms = Atoms("COHCO", positions=[[0, 0, 0], [0, 0.3, 1.1], [0.9, 0, -0.4], [8, 8, 8], [8.8, 8.7, 8.1]])
    atoms.set_cell(np.diag([15.0, 16.0, 17.0]))
    atoms.pbc = True
    calculator = EquipotCalculator(model)
    stresses = calculator.get_property("stresses", atoms)
    for part in (slice(0, 3), slice(3, 5)):
        expected = strain_derivative(atoms, calculator, lambda energies, part=part: energies[part].sum())
        assert np.abs(expected).max() > 1e-4
        assert np.abs(stresses[part].sum(axis=0) - expected).max() < 1e-9


def test_nothing_else_changes_when_they_are_asked_for(model):
    atoms = crystal()
    one, other = EquipotCalculator(model), EquipotCalculator(model)
    stresses = one.get_property("stresses", atoms)
    for name in ("energy", "energies", "forces", "stress"):
        assert np.array_equal(one.get_property(name, atoms), other.get_property(name, atoms)), name
    assert "stresses" not in other.results
    assert np.array_equal(other.get_property("stresses", atoms), stresses)
    atoms.rattle(0.01, seed=2)
    one.get_property("energy", atoms)
    assert "stresses" not in one.results


def test_copies_have_them(model):
    atoms = crystal()
    calculator = EquipotCalculator(model)
    stresses = calculator.get_property("stresses", atoms)
    for twin in (copy.deepcopy(calculator), pickle.loads(pickle.dumps(calculator))):  # noqa: S301 - our own
        assert np.array_equal(twin.get_property("stresses", atoms), stresses)


def test_they_are_in_electronvolts_whatever_the_unit_of_the_model(model):
    atoms, calculator = crystal(), EquipotCalculator(model)
    calculator.info = dataclasses.replace(calculator.info, units="real")
    expected = EquipotCalculator(model).get_property("stresses", atoms) * KCAL_PER_MOL_IN_EV
    assert np.allclose(calculator.get_property("stresses", atoms), expected, rtol=1e-13, atol=0)


def test_large_frames_have_them_too(model, monkeypatch):
    atoms = crystal()
    whole = EquipotCalculator(model).get_property("stresses", atoms)
    evaluate, parts = in_parts.evaluate, []
    monkeypatch.setattr(in_parts, "evaluate", lambda one, data: parts.append(one) or evaluate(one, data, 40))
    assert np.allclose(EquipotCalculator(model).get_property("stresses", atoms), whole, rtol=1e-11, atol=1e-14)
    assert parts[0].info.locality == "strict"


@pytest.mark.parametrize("pbc", [False, True])
def test_frames_without_volume_have_none(model, pbc):
    atoms = Atoms("CO", positions=[[0, 0, 0], [0, 0, 1.2]], pbc=pbc)
    atoms.calc = EquipotCalculator(model)
    with pytest.raises(PropertyNotImplementedError, match="this frame has no stresses: it is not periodic or"):
        atoms.get_stresses()


def test_models_without_them_say_why(make_model):
    atoms = crystal()
    energy_only = EquipotCalculator(make_model(do_derivatives=False))
    with pytest.raises(PropertyNotImplementedError, match="no stresses.*apply the modifier enable_ForceStressOutput"):
        energy_only.get_property("stresses", atoms)
    trapped = EquipotCalculator(make_model(energy_terms={"trap": Trap()}))
    assert "stresses" not in trapped.implemented_properties
    with pytest.raises(PropertyNotImplementedError, match=r"component 'trap' \(Confined\) reads positions"):
        trapped.get_property("stresses", atoms)
