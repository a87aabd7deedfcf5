"""Neighbours, contacts, density, and the memory of trajectories, against what they are by construction."""

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk

from equipot.data import LabelContract, collect_frames
from equipot_fit._geometry import evenly, memory, surroundings


def collected(frames):
    contract: LabelContract = {}
    return collect_frames(((f"f.xyz, frame {index}", one) for index, one in enumerate(frames)), contract)


def looked_at(frames):
    whole = collected(frames)
    return surroundings(whole.frames, range(len(frames)), [len(one) for one in frames])


def test_shells_of_a_crystal():
    found = looked_at([bulk("Cu", cubic=True, a=3.6)])
    assert found.neighbors == {4.0: 18.0, 4.5: 42.0, 5.0: 42.0, 5.5: 54.0, 6.0: 78.0}, (
        "shells of fcc: 12, 6, 24, 12, 24"
    )
    assert found.nearest == pytest.approx(3.6 / np.sqrt(2))
    assert found.density == pytest.approx(4 / 3.6**3)
    assert found.contact == pytest.approx(3.6 / np.sqrt(2) / 2.64)


def test_the_closest_contact_of_all_frames_counts():
    frames = [Atoms("H2", [[0, 0, 0], [0, 0, distance]]) for distance in (0.74, 0.31, 2.0)]
    assert looked_at(frames).contact == pytest.approx(0.5)


def test_atoms_without_neighbours():
    found = looked_at([Atoms("HeHe", [[0, 0, 0], [0, 0, 9.0]])])
    assert (found.nearest, found.contact, found.density) == (0.0, float("inf"), None)
    assert set(found.neighbors.values()) == {0.0}


def test_small_and_large_frames_are_both_drawn():
    frames = [Atoms("H2", [[0, 0, 0], [0, 0, 0.7]])] * 400 + [bulk("Cu", cubic=True)]
    found = looked_at(frames)
    assert 0 < found.neighbors[4.0] <= 1.0
    assert found.density is None or found.density > 0.05


def walk(number, *, step, periodic, seed=1):
    """A trajectory: each frame is the one before, moved a little and pulled back to the start."""
    rng = np.random.default_rng(seed)
    atoms = bulk("Cu", cubic=True).repeat(2)
    start, moved, frames = atoms.positions.copy(), np.zeros((len(atoms), 3)), []
    for _ in range(number):
        moved = (1.0 - step) * moved + np.sqrt(2.0 * step) * 0.1 * rng.normal(size=moved.shape)
        frames.append(Atoms(atoms.numbers, start + moved, cell=atoms.cell if periodic else None, pbc=periodic))
    return frames


@pytest.mark.parametrize("periodic", [True, False])
def test_trajectories_are_told_from_samples(periodic):
    frames = walk(200, step=0.05, periodic=periodic)
    found = memory(collected(frames), range(200))
    assert 8 <= found <= 32, "displacements forget half of their square in ln(2) / 0.05 = 14 steps"
    order = np.random.default_rng(0).permutation(200)
    assert memory(collected([frames[index] for index in order]), range(200)) == 0


def test_atoms_that_leave_the_cell_have_not_moved():
    frames = walk(200, step=0.05, periodic=True)
    for one in frames[::2]:
        one.positions[::3] += one.cell[0]
    assert 8 <= memory(collected(frames), range(200)) <= 32


def test_few_frames_and_mixtures_are_no_trajectory():
    assert memory(collected(walk(7, step=0.05, periodic=True)), range(7)) == 0
    frames = [one for pair in zip(walk(50, step=0.05, periodic=True), [Atoms("H")] * 50, strict=True) for one in pair]
    assert memory(collected(frames), range(100)) == 0


def test_evenly():
    assert evenly(range(3), 5) == [0, 1, 2]
    assert evenly([5, 6, 7, 8], 2) == [5, 7]
