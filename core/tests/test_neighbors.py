import itertools

import numpy as np
import pytest
import torch

from equipot.errors import ConfigError, DataError
from equipot.neighbors import BACKENDS, add_neighbors, neighbor_list

PBC = list(itertools.product([False, True], repeat=3))


def all_pairs(positions, cell, pbc, r_max):
    """Every pair of atoms in every image within reach."""
    span = r_max + sum(np.linalg.norm(row) for row in positions - positions.mean(axis=0))
    periodic = cell[list(pbc)]
    heights = 1.0 / np.linalg.norm(np.linalg.pinv(periodic), axis=0) if any(pbc) else np.zeros(0)
    counts = iter(np.ceil(span / heights).astype(int))
    ranges = [range(-n, n + 1) for n in (next(counts) if periodic_here else 0 for periodic_here in pbc)]
    found = []
    for shift in itertools.product(*ranges):
        vectors = positions[None] + np.array(shift) @ cell - positions[:, None]
        inside = np.linalg.norm(vectors, axis=2) < r_max
        found += [(int(i), int(j), *shift) for i, j in np.argwhere(inside) if not (i == j and shift == (0, 0, 0))]
    return sorted(found)


def as_rows(edges, shifts):
    return [(int(i), int(j), *(int(s) for s in shift)) for i, j, shift in zip(*edges, shifts, strict=True)]


def check(positions, cell, pbc, r_max):
    expected = all_pairs(positions, cell, pbc, r_max)
    for backend in BACKENDS:
        assert as_rows(*neighbor_list(positions, cell, np.array(pbc), r_max, backend=backend)) == expected
    return expected


def make_frame(positions, cell, pbc, types=None):
    n = len(positions)
    return {
        "positions": torch.tensor(positions, dtype=torch.float64),
        "cell": torch.tensor(cell, dtype=torch.float64)[None],
        "pbc": torch.tensor(pbc)[None],
        "atom_types": torch.tensor(types if types is not None else [0] * n),
        "batch": torch.zeros(n, dtype=torch.int64),
        "num_atoms": torch.tensor([n]),
    }


@pytest.mark.parametrize("pbc", PBC)
@pytest.mark.parametrize("seed", [0, 1])
def test_triclinic_unwrapped_and_larger_than_the_cell(pbc, seed):
    rng = np.random.default_rng(seed)
    cell = np.array([[3.0, 0.2, -0.4], [1.1, 2.8, 0.3], [-0.7, 0.9, 3.3]]) + rng.normal(size=(3, 3)) * 0.1
    positions = rng.uniform(-5.0, 5.0, size=(4, 3))
    expected = check(positions, cell, pbc, 3.6)
    if sum(pbc) == 3:
        assert len(expected) > 4 * 20, "radius larger than the cell: many images"


def test_zero_cell_without_periodicity():
    positions = np.array([[0.0, 0.0, 0.0], [0.0, 0.0, 1.0], [40.0, 0.0, 0.0]])
    assert check(positions, np.zeros((3, 3)), (False, False, False), 2.0) == [(0, 1, 0, 0, 0), (1, 0, 0, 0, 0)]


def test_large_cell_without_periodicity_is_not_periodic():
    positions = np.array([[0.1, 0.0, 0.0], [9.9, 0.0, 0.0]])
    assert check(positions, np.eye(3) * 10.0, (False, False, False), 2.0) == []
    assert len(check(positions, np.eye(3) * 10.0, (True, False, False), 2.0)) == 2


def test_slab_with_zero_c_vector():
    cell = np.array([[2.5, 0.0, 0.0], [1.25, 2.2, 0.0], [0.0, 0.0, 0.0]])
    positions = np.array([[0.0, 0.0, 0.0], [0.3, 0.2, 2.1], [9.0, -4.0, -30.0]])
    assert check(positions, cell, (True, True, False), 4.0)


def test_non_periodic_vector_may_depend_on_the_others():
    cell = np.array([[3.0, 0.0, 0.0], [6.0, 0.0, 0.0], [0.0, 0.0, 4.0]])
    assert check(np.array([[0.0, 0.0, 0.0], [1.0, 1.0, 1.0]]), cell, (True, False, True), 4.5)


def test_one_atom_sees_its_own_images_only():
    rows = check(np.zeros((1, 3)), np.eye(3) * 2.0, (True, True, True), 2.1)
    assert len(rows) == 6
    assert check(np.zeros((1, 3)), np.eye(3) * 2.0, (False, False, False), 2.1) == []


def test_no_atoms_in_range():
    edges, shifts = neighbor_list(np.array([[0.0, 0, 0], [9.0, 0, 0]]), np.zeros((3, 3)), np.zeros(3, bool), 3.0)
    assert edges.shape == (2, 0)
    assert shifts.shape == (0, 3)
    assert edges.dtype == np.int64
    assert shifts.dtype == np.float64


def test_two_images_of_one_neighbour_are_two_edges():
    rows = check(np.array([[0.0, 0, 0], [1.5, 0, 0]]), np.diag([3.0, 20.0, 20.0]), (True, True, True), 2.0)
    assert rows == [(0, 1, -1, 0, 0), (0, 1, 0, 0, 0), (1, 0, 0, 0, 0), (1, 0, 1, 0, 0)]


@pytest.mark.parametrize("backend", BACKENDS)
def test_radius_is_exclusive(backend):
    positions = np.array([[0.0, 0, 0], [2.0, 0, 0]])
    arguments = (positions, np.zeros((3, 3)), np.zeros(3, bool))
    assert neighbor_list(*arguments, 2.0, backend=backend)[0].shape[1] == 0
    assert neighbor_list(*arguments, np.nextafter(2.0, 3.0), backend=backend)[0].shape[1] == 2


def test_order_with_shifts_too_large_for_one_sorting_key():
    rng = np.random.default_rng(6)
    cell = np.array([[3.0, 0, 0], [0.5, 3.2, 0], [0.1, 0.3, 2.8]])
    positions = rng.uniform(0, 3, size=(6, 3))
    far = positions + (rng.integers(-1, 2, size=(6, 3)) * 2**22) @ cell
    for where in (positions, far):
        edges, shifts = neighbor_list(where, cell, np.ones(3, bool), 3.5)
        rows = as_rows(edges, shifts)
        assert rows == sorted(rows)
        assert len(rows) > 100
    assert np.ptp(shifts, axis=0).min() > 2**22


def test_wrapping_atoms_changes_shifts_and_not_vectors():
    rng = np.random.default_rng(4)
    cell = np.array([[4.0, 0, 0], [0.5, 4.2, 0], [0.1, 0.3, 3.8]])
    positions = rng.uniform(0, 4, size=(5, 3))
    moved = positions + rng.integers(-3, 4, size=(5, 3)) @ cell
    vectors = []
    for where in (positions, moved):
        edges, shifts = neighbor_list(where, cell, np.ones(3, bool), 4.5)
        rows = np.column_stack([edges.T, where[edges[1]] - where[edges[0]] + shifts @ cell])
        vectors.append(rows[np.lexsort(np.round(rows, 6).T)])
    assert vectors[0].shape == vectors[1].shape
    assert np.abs(vectors[0] - vectors[1]).max() < 1e-12


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(("offset", "pbc"), [(0.0, False), (10.0, True)])
def test_coincident_atoms_are_named(backend, offset, pbc):
    positions = np.array([[0.0, 0, 0], [5.0, 5, 5], [offset, 0, 0]])
    with pytest.raises(DataError, match=r"^positions: atoms at the same place: 0 and 2 \(counted from 0\)"):
        neighbor_list(positions, np.eye(3) * 10, np.array([pbc] * 3), 3.0, backend=backend)


def test_periodic_direction_without_cell_vector():
    with pytest.raises(DataError, match="no volume along the periodic directions"):
        neighbor_list(np.zeros((1, 3)), np.diag([3.0, 3.0, 0.0]), np.ones(3, bool), 3.0)


def test_wrong_options():
    arguments = (np.zeros((1, 3)), np.zeros((3, 3)), np.zeros(3, bool))
    with pytest.raises(ConfigError, match=r"r_max: must be greater than 0, got 0\.0"):
        neighbor_list(*arguments, 0.0)
    with pytest.raises(ConfigError, match="backend: unknown, got 'ase'"):
        neighbor_list(*arguments, 1.0, backend="ase")


def test_per_pair_radii_may_be_asymmetric():
    positions = [[0.0, 0, 0], [1.5, 0, 0], [3.0, 0, 0]]
    cutoffs = torch.tensor([[3.5, 1.0], [2.0, 3.5]], dtype=torch.float64)  # R[centre, neighbour]
    frame = add_neighbors(make_frame(positions, np.zeros((3, 3)), [False] * 3, [0, 1, 0]), 3.5, cutoffs=cutoffs)
    assert frame["edge_index"].T.tolist() == [[0, 2], [1, 0], [1, 2], [2, 0]], "0 does not see 1, but 1 sees 0"


def test_per_pair_radius_never_exceeds_r_max():
    frame = make_frame([[0.0, 0, 0], [2.5, 0, 0]], np.zeros((3, 3)), [False] * 3)
    cutoffs = torch.tensor([[3.0]], dtype=torch.float64)
    assert add_neighbors(frame, 2.0, cutoffs=cutoffs)["edge_index"].shape[1] == 0


def test_named_edge_sets_have_their_own_radius():
    frame = make_frame([[0.0, 0, 0], [1.0, 0, 0], [3.0, 0, 0]], np.zeros((3, 3)), [False] * 3)
    result = add_neighbors(frame, 1.5, edge_sets=[("far", 3.5), ("near", 0.5)])
    assert "edge_index" not in frame, "the argument is not changed"
    assert result["edge_index"].shape == (2, 2)
    assert result["edge_index:far"].shape == (2, 6)
    assert result["edge_cell_shift:far"].shape == (6, 3)
    assert result["edge_index:near"].shape == (2, 0)
    assert result["edge_cell_shift"].dtype == torch.float64
    assert result["edge_index"].dtype == torch.int64


def test_a_batch_is_refused():
    frame = make_frame([[0.0, 0, 0]], np.zeros((3, 3)), [False] * 3)
    frame["cell"] = frame["cell"].repeat(2, 1, 1)
    with pytest.raises(DataError, match="add_neighbors: works on one frame, got '2 frames'"):
        add_neighbors(frame, 2.0)


# ---------------------------------------------------------------- empty space, far atoms, senseless cells

FAR = {
    "two atoms a millimetre apart": ([[0, 0, 0], [0, 0, 1e6], [0, 0, 1e6 + 1.0]], np.zeros((3, 3)), (False,) * 3),
    "a molecule far above a slab": (
        [[0, 0, 0], [1, 1, 1e4], [1, 1, 1e4 + 1.0]],
        np.diag([4.0, 4.0, 0.0]),
        (True, True, False),
    ),
    "a needle of a cell": ([[1, 0, 0], [5e5, 0, 0], [5e5 + 1.0, 0, 0]], np.diag([1e6, 4.0, 4.0]), (True,) * 3),
    "a flat cell": ([[1, 0, 0], [5e5, 4e5, 0], [5e5 + 1.0, 4e5, 0]], np.diag([1e6, 1e6, 0.0]), (True, True, False)),
    "neighbours across the far end": ([[0.2, 0, 0], [999999.8, 0, 0]], np.diag([1e6, 9.0, 9.0]), (True,) * 3),
    "unwrapped by a million cells": ([[0, 0, 0], [4e6 + 1.0, -8e6, 0]], np.eye(3) * 4.0, (True,) * 3),
}


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", FAR)
def test_far_atoms_cost_nothing_and_keep_their_pairs(name, backend):
    positions, cell, pbc = FAR[name]
    positions = np.array(positions, dtype=float)
    edges, shift = neighbor_list(positions, cell, np.array(pbc), 3.0, backend=backend)
    vectors = positions[edges[1]] + shift @ cell - positions[edges[0]]
    assert np.all(np.linalg.norm(vectors, axis=1) < 3.0)
    wrapped = (
        positions - np.where(pbc, np.floor(positions / np.where(np.diag(cell) > 0, np.diag(cell), 1.0)), 0.0) @ cell
    )
    near = wrapped[np.abs(wrapped - wrapped[-1]).max(axis=1) < 50.0]  # a small system, which the brute force can do
    in_small = all_pairs(near, np.diag(np.where(pbc, np.minimum(np.diag(cell), 60.0), 0.0)), pbc, 3.0)
    from_last = [pair for pair in as_rows(edges, shift) if pair[0] == len(positions) - 1]
    expected = len([pair for pair in in_small if pair[0] == len(near) - 1]) + (name == "neighbours across the far end")
    assert len(from_last) == expected
    assert expected > 0


def test_random_long_boxes_have_the_pairs_of_a_tree():
    from scipy.spatial import cKDTree

    rng = np.random.default_rng(5)
    for _ in range(40):
        n_atoms, extent = int(rng.integers(2, 200)), 10.0 ** rng.uniform(0.5, 6.0, 3)
        positions = rng.random((n_atoms, 3)) * extent
        positions[1] = positions[0] + 1.0
        expected = 2 * len(cKDTree(positions).query_pairs(5.0))
        for backend in BACKENDS:
            found, _ = neighbor_list(positions, np.zeros((3, 3)), np.zeros(3, bool), 5.0, backend=backend)
            assert found.shape[1] == expected, (n_atoms, extent)


@pytest.mark.parametrize(
    ("positions", "cell", "words"),
    [
        ([[1e12, 0.0, 0.0]], np.eye(3) * 5.0, "positions: coordinates must be finite and below 1e[+]08 Å"),
        ([[np.nan, 0.0, 0.0]], np.eye(3) * 5.0, "positions: coordinates must be finite"),
        ([[0.0, 0.0, 0.0]], np.eye(3) * 1e-3, "cell: is so small that a radius of 3 Å reaches about 1e[+]11 images"),
        ([[0.0, 0.0, 0.0]], np.diag([5.0, 5.0, np.inf]), "cell: no volume along the periodic directions"),
    ],
)
def test_what_has_no_numbers_is_refused(positions, cell, words):
    with pytest.raises(DataError, match=words):
        neighbor_list(np.array(positions), cell, np.ones(3, bool), 3.0)


def test_many_atoms_on_a_diagonal_line():
    positions = np.arange(20_000)[:, None] * np.ones(3) * 1.7
    edges, _ = neighbor_list(positions, np.zeros((3, 3)), np.zeros(3, bool), 3.0)
    assert edges.shape[1] == 2 * 19_999
