"""The probe's model: exact derivatives, and fits that tell labels that belong to structures from those that do not."""

from dataclasses import replace

import numpy as np
import pytest
from ase.build import bulk
from ase.calculators.lj import LennardJones

from equipot.data.checks import _probe_checks
from equipot.data.checks._catalogue import CHECKS, Check
from equipot.data.checks._probe import REACH, Basis, Structure
from equipot.data.checks._probe_fit import JointProbe, fit_forces


def made(numbers, positions, cell=None, *, pbc=False):
    cell = np.zeros((3, 3)) if cell is None else np.asarray(cell, float)
    return Structure(np.array(numbers), np.asarray(positions, float), cell, np.full(3, pbc))


@pytest.fixture
def crystal():
    rng = np.random.default_rng(0)
    cell = np.array([[3.1, 0.2, 0.0], [0.3, 3.4, 0.1], [0.0, 0.5, 3.9]])
    return made([8, 14, 8, 1], rng.uniform(size=(4, 3)) @ cell, cell, pbc=True)


@pytest.mark.parametrize(("atom", "axis"), [(0, 0), (1, 2), (3, 1)])
def test_forces_are_minus_the_gradient(crystal, atom, axis):
    basis, step = Basis([1, 8, 14]), 1e-5
    moved = []
    for sign in (1, -1):
        positions = crystal.positions.copy()
        positions[atom, axis] += sign * step
        moved.append(basis.features(replace(crystal, positions=positions)).energy)
    slope = -(moved[0] - moved[1]) / (2 * step)
    assert np.abs(slope).max() > 0.1
    assert np.allclose(basis.features(crystal).forces[3 * atom + axis], slope, atol=1e-6)


@pytest.mark.parametrize(("row", "a", "b"), [(0, 0, 0), (2, 2, 2), (3, 1, 2), (5, 0, 1)])
def test_stress_is_the_derivative_by_strain(crystal, row, a, b):
    basis, step = Basis([1, 8, 14]), 1e-5
    strain = np.zeros((3, 3))
    strain[a, b] += step / 2
    strain[b, a] += step / 2
    energies = []
    for sign in (1, -1):
        change = np.eye(3) + sign * strain
        strained = replace(crystal, positions=crystal.positions @ change, cell=crystal.cell @ change)
        energies.append(basis.features(strained).energy)
    slope = (energies[0] - energies[1]) / (2 * step) / crystal.volume
    assert np.abs(slope).max() > 0.01
    assert np.allclose(basis.features(crystal).stress[row], slope, atol=1e-7)


def test_a_molecule_has_no_stress_and_far_atoms_have_no_features():
    basis = Basis([1])
    near, far = (basis.features(made([1, 1], [[0, 0, 0], [0, 0, z]])) for z in (0.75, 0.62 * REACH + 0.01))
    assert near.stress is None
    assert np.abs(near.energy).max() > 0.1
    assert not far.energy.any()
    assert near.nearest == pytest.approx([0.75 / 0.62] * 2)
    assert far.nearest.tolist() == [REACH, REACH]


def test_turning_a_structure_turns_its_forces(crystal):
    turn = np.linalg.qr(np.random.default_rng(1).normal(size=(3, 3)))[0]
    basis = Basis([1, 8, 14])
    before = basis.features(crystal)
    after = basis.features(replace(crystal, positions=crystal.positions @ turn, cell=crystal.cell @ turn))
    assert np.allclose(after.energy, before.energy)
    rotated = np.einsum("nap,ab->nbp", before.forces.reshape(4, 3, -1), turn)
    assert np.allclose(after.forces.reshape(4, 3, -1), rotated, atol=1e-10)


@pytest.fixture(scope="module")
def argon():
    """Lennard-Jones crystals: every energy and force follows from pairs, as in the model."""
    rng, calculator = np.random.default_rng(2), LennardJones(sigma=3.4, epsilon=0.0104, rc=5.4, smooth=True)
    structures = []
    for _ in range(40):
        atoms = bulk("Ar", "fcc", rng.uniform(5.2, 5.5), cubic=True)
        atoms.positions += rng.normal(scale=0.2, size=(4, 3))
        atoms.calc = calculator
        structures.append(
            replace(
                made(atoms.numbers, atoms.positions, atoms.cell.array, pbc=True),
                energy=atoms.get_potential_energy() + 100.0,
                forces=atoms.get_forces(),
            )
        )
    basis = Basis([18])
    return structures, [basis.features(one) for one in structures], basis


def test_sound_forces_are_explained_in_frames_left_out(argon):
    structures, features, _ = argon
    forces = [one.forces for one in structures]
    assert fit_forces(features, forces).explained > 0.99
    shuffled = [forces[(index + 7) % 40] for index in range(40)]
    assert fit_forces(features, shuffled).explained < 0.1


def test_the_right_factor_explains_energies_and_forces(argon):
    structures, features, basis = argon
    probe = JointProbe(features, structures, basis.elements)
    assert probe.freedom == 39
    right = probe.fit()
    assert right.energies > 0.98
    assert right.forces > 0.98
    for factor in (-1.0, 0.02, 30.0):
        assert probe.fit(factor).score < right.score - 2.0
    scaled = [replace(one, energy=23.06 * one.energy) for one in structures]
    assert JointProbe(features, scaled, basis.elements).fit(23.06).energies == pytest.approx(right.energies)


def test_an_outlier_does_not_bend_the_fit(argon):
    structures, features, basis = argon
    wrong = [replace(one, energy=one.energy + (5.0 if index == 11 else 0.0)) for index, one in enumerate(structures)]
    residuals = JointProbe(features, wrong, basis.elements).fit().residuals
    assert np.argmax(np.abs(residuals)) == 11
    assert residuals[11] == pytest.approx(5.0 / 2.0, rel=0.05), "5 eV over the root of 4 atoms"
    assert np.abs(np.delete(residuals, 11) - np.median(residuals)).max() < 0.05


def test_every_check_is_in_the_catalogue():
    mine = [one for one in vars(_probe_checks).values() if isinstance(one, Check)]
    assert len(mine) == 19
    assert all(CHECKS[one.code] is one for one in mine)
