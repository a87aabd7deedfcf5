"""Counts of neighbours are those of the neighbour lists, for whatever frames."""

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk, fcc111, molecule

from equipot.data import _neighbor_counts
from equipot.data._frames import frame_from_atoms
from equipot.data._neighbor_counts import count_neighbors
from equipot.data.transforms import ModelEdges
from equipot.errors import DataError
from equipot.graph import collate


def framed(atoms):
    frame, _ = frame_from_atoms(atoms, {}, "atoms")
    return {**frame, "atom_types": frame["atomic_numbers"] % 3}


def by_list(frames, edges):
    counts = [torch.bincount(edges(one)["edge_index"][0], minlength=len(one["positions"])) for one in frames]
    return torch.cat(counts)


def assert_counted(structures, edges, monkeypatch, lists=0):
    """The counts are right, and so many frames needed a list."""
    frames = [framed(one) for one in structures]
    expected = by_list(frames, edges)
    asked = []
    original = ModelEdges.__call__
    monkeypatch.setattr(ModelEdges, "__call__", lambda self, frame: asked.append(1) or original(self, frame))
    counts = count_neighbors(collate(frames), edges)
    monkeypatch.setattr(ModelEdges, "__call__", original)
    assert counts.dtype == torch.int64
    assert counts.tolist() == expected.tolist()
    assert len(asked) == lists


def random_frames(seed, number=40):
    rng = np.random.default_rng(seed)
    for _ in range(number):
        n = int(rng.integers(1, 9))
        cell = np.diag(rng.uniform(2.5, 8.0, 3)) + rng.normal(size=(3, 3)) * 0.8
        positions = rng.normal(size=(n, 3)) * 8  # many outside of the cell
        yield Atoms(rng.choice(["H", "C", "N"], n), positions, cell=cell, pbc=bool(rng.random() < 0.7))


CUTOFFS = ((3.0, 4.0, 2.0), (2.5, 4.5, 1.0), (4.0, 0.5, 3.3))


@pytest.mark.parametrize("cutoffs", [None, CUTOFFS])
@pytest.mark.parametrize("seed", range(4))
def test_random_frames(monkeypatch, seed, cutoffs):
    assert_counted(list(random_frames(seed)), ModelEdges(4.5, cutoffs, ()), monkeypatch)


@pytest.mark.parametrize(
    "radius", [np.sqrt(0.5) * 4.0, 4.0, np.nextafter(4.0, 5.0), 4.0 * np.sqrt(1.5), 5.656854249492381]
)
def test_neighbours_exactly_at_the_cutoff(monkeypatch, radius):
    """In crystals whole shells lie at the cutoff, to the last bit or beside it."""
    structures = [bulk("Cu", "fcc", a=4.0, cubic=True), bulk("Cu", "fcc", a=4.0), bulk("NaCl", "rocksalt", a=4.0)]
    for one in list(structures):
        moved = one.copy()
        moved.positions += [17.3, -9.1, 0.77]
        structures.append(moved)
        turned = one.copy()
        turned.rotate(33.0, (1, 2, 3), rotate_cell=True)
        structures.append(turned)
    assert_counted(structures, ModelEdges(float(radius), None, ()), monkeypatch)


def test_few_are_enough_at_once(monkeypatch):
    monkeypatch.setattr(_neighbor_counts, "_AT_ONCE", 1)
    assert_counted(list(random_frames(9, 8)), ModelEdges(3.0, None, ()), monkeypatch)


def test_slabs_large_and_far_frames_have_lists(monkeypatch):
    far = molecule("H2O")
    far.positions += 2e4
    structures = [fcc111("Cu", (1, 1, 3), vacuum=5.0), molecule("H2O"), bulk("Cu", cubic=True).repeat(4), far]
    structures[0].pbc = [True, True, False]
    assert_counted(structures, ModelEdges(4.0, None, ()), monkeypatch, lists=3)


def test_molecules_with_and_without_a_box(monkeypatch):
    boxed = molecule("CH3OH")
    boxed.cell = [3.0, 3.0, 3.0]
    assert_counted([molecule("CH3OH"), boxed, Atoms("H"), molecule("C6H6")], ModelEdges(2.5, None, ()), monkeypatch)


def test_atoms_at_the_same_place_are_refused():
    frames = [framed(one) for one in (molecule("H2O"), Atoms("H2", [[0, 0, 0], [0, 0, 1e-8]]))]
    with pytest.raises(DataError, match="atoms at the same place: 0 and 1"):
        count_neighbors(collate(frames), ModelEdges(3.0, None, ()))
