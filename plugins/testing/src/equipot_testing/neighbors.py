"""A neighbour list by brute force, with which faster ones are compared.

It tries every pair of atoms and every periodic image that could matter, with numpy alone, and
shares no code with ``equipot.neighbors``.
"""

from __future__ import annotations

import itertools

import numpy as np
from numpy.typing import NDArray

__all__ = ["brute_force_neighbors"]

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


def brute_force_neighbors(
    positions: Floats, cell: Floats, pbc: NDArray[np.bool_], r_max: float | Floats
) -> tuple[Integers, Integers, Integers]:
    """All directed pairs closer than a radius.

    Args:
        positions: Å, shape [n_atoms, 3]; atoms may lie anywhere.
        cell: Cell vectors as rows, Å, shape [3, 3]; rows of non-periodic directions are ignored.
        pbc: Periodic directions, shape [3].
        r_max: Radius in Å: one number, or one per pair [n_atoms, n_atoms] (centre, neighbour).

    Returns:
        Centres, neighbours (both [n_edges]) and integer shifts [n_edges, 3], sorted by centre, then
        neighbour, then shift. An atom is a neighbour of its own images, not of itself.
    """
    n_atoms = len(positions)
    radii = np.broadcast_to(np.asarray(r_max, dtype=np.float64), (n_atoms, n_atoms))
    if n_atoms == 0:
        empty = np.zeros(0, dtype=np.int64)
        return empty, empty, np.zeros((0, 3), dtype=np.int64)
    shifts = _candidate_shifts(positions, cell, pbc, float(radii.max()))
    images = shifts @ np.where(np.asarray(pbc, dtype=bool)[:, None], cell, 0.0)
    vectors = positions[None, :, None, :] - positions[:, None, None, :] + images[None, None, :, :]
    distances = np.sqrt((vectors**2).sum(-1))
    near = distances < radii[:, :, None]
    itself = np.eye(n_atoms, dtype=bool)[:, :, None] & (shifts == 0).all(1)[None, None, :]
    centre, neighbour, index = np.nonzero(near & ~itself)
    return centre.astype(np.int64), neighbour.astype(np.int64), shifts[index]


def _candidate_shifts(positions: Floats, cell: Floats, pbc: NDArray[np.bool_], r_max: float) -> Integers:
    """Shifts that could bring an image within the radius, in lexicographic order, [n_shifts, 3].

    Along a lattice direction an image moves by at least the distance between lattice planes for
    each step, less the distance of the atoms themselves along the planes' normal.
    """
    periodic = [axis for axis in range(3) if pbc[axis]]
    counts = [0, 0, 0]
    lattice = cell[periodic]
    if periodic:
        dual = np.linalg.pinv(lattice).T
        for row, axis in enumerate(periodic):
            along = positions @ dual[row]
            spread = float(along.max() - along.min())
            counts[axis] = int(np.ceil(r_max * np.linalg.norm(dual[row]) + spread)) + 1
    ranges = [range(-count, count + 1) for count in counts]
    return np.array(list(itertools.product(*ranges)), dtype=np.int64).reshape(-1, 3)
