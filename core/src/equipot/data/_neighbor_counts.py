"""Numbers of neighbours of many small frames at once, for statistics that need no more of the edges.

For small frames, finding the pairs costs less than the steps around it. Here many frames with the same number of atoms
are compared at once: lengths from products of vectors decide all pairs but those at the cutoff, which are decided by
the same arithmetic as in neighbour lists, so that the counts are always those of the lists.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator

import numpy as np
import torch

from equipot.data._packed import Array
from equipot.data.transforms import ModelEdges
from equipot.graph import Graph, split
from equipot.neighbors import edge_lengths, image_vectors

_MARGIN = 1e-6
"""Å²; squares of lengths this close to that of the cutoff are computed once more."""

_FARTHEST = 1e4
"""Å; farther coordinates have too few digits for the margin."""

_FLAT = 1e-3
"""Volume of a cell relative to that of a box with edges of these lengths, below which the list decides."""

_MOST = 60_000
"""Pairs of atoms and images in a frame, from which on a neighbour list is faster."""

_AT_ONCE = 400_000
"""Pairs of atoms and images that are compared at once."""


def count_neighbors(batch: Graph, edges: ModelEdges) -> torch.Tensor:
    """The number of edges of each atom in the model's own edge set.

    Args:
        batch: Frames with ``atom_types``.
        edges: Radii.

    Returns:
        int64, shape [n_atoms].

    Raises:
        DataError: As for ``add_neighbors``.
    """
    sizes = batch["num_atoms"].numpy()
    starts = np.cumsum(sizes) - sizes
    counts = np.full(int(sizes.sum()), -1, np.int64)
    for group, images in _groups(batch, sizes, edges.r_max):
        rows = starts[group][:, None] + np.arange(sizes[group[0]])
        part = max(1, _AT_ONCE // (rows.shape[1] ** 2 * len(_shifts(images))))
        for first in range(0, len(group), part):
            some = slice(first, first + part)
            counts[rows[some]] = _counted(batch, group[some], rows[some], images, edges)
    _count_others(batch, sizes, starts, counts, edges)
    return torch.from_numpy(counts)


def _count_others(batch: Graph, sizes: Array, starts: Array, counts: Array, edges: ModelEdges) -> None:
    """Counts of frames that still have none, from their neighbour lists."""
    left = np.flatnonzero(counts[starts] < 0)
    if not len(left):
        return
    geometry = {key: batch[key] for key in ("positions", "cell", "pbc", "atom_types", "batch", "num_atoms")}
    frames = split(geometry)
    for index in left.tolist():
        centres = edges(frames[index])["edge_index"][0].numpy()
        counts[starts[index] : starts[index] + sizes[index]] = np.bincount(centres, minlength=sizes[index])


def _groups(batch: Graph, sizes: Array, r_max: float) -> Iterator[tuple[Array, tuple[int, int, int]]]:
    """Frames that can be compared at once: their indices, and how many images along each cell vector are near."""
    pbc, cells, positions = batch["pbc"].numpy(), batch["cell"].numpy(), batch["positions"].numpy()
    lengths = np.linalg.norm(cells, axis=2).prod(axis=1)
    volumes = np.abs(np.linalg.det(cells))
    periodic = pbc.all(axis=1) & (volumes > _FLAT * lengths) & (lengths > 0.0)
    images = np.zeros((len(sizes), 3), np.int64)
    heights = 1.0 / np.linalg.norm(np.linalg.inv(cells[periodic]), axis=1)
    images[periodic] = np.minimum(np.floor(r_max / heights + 1.0 + 1e-9), 1e6)
    near = np.maximum.reduceat(np.abs(positions).max(axis=1), np.cumsum(sizes) - sizes) < _FARTHEST
    work = sizes.astype(float) ** 2 * (2.0 * images + 1.0).prod(axis=1)
    usable = np.flatnonzero((periodic | ~pbc.any(axis=1)) & near & (work <= _MOST))
    kinds = np.concatenate([sizes[usable, None], images[usable], pbc[usable, :1]], axis=1)
    if len(usable):
        different, which = np.unique(kinds, axis=0, return_inverse=True)
        for kind, row in enumerate(different.tolist()):
            yield usable[which.reshape(-1) == kind], (row[1], row[2], row[3])


@functools.cache
def _shifts(images: tuple[int, int, int]) -> Array:
    """All cell shifts, int64, shape [n_shifts, 3]; from both ends, one is minus the other."""
    ranges = [np.arange(-one, one + 1) for one in images]
    return np.stack(np.meshgrid(*ranges, indexing="ij"), axis=-1).reshape(-1, 3)


def _counted(batch: Graph, frames: Array, rows: Array, images: tuple[int, int, int], edges: ModelEdges) -> Array:
    """Counts of some frames of the same size, shape [n_frames, n]; -1 where the list has to decide.

    Each pair of atoms is compared once, with all images; an atom and its own images with half of these.
    """
    positions, cells = batch["positions"].numpy()[rows], batch["cell"].numpy()[frames]
    n, shifts = rows.shape[1], _shifts(images)
    moved = np.zeros(positions.shape)
    if any(images):
        moved = -np.floor(positions @ np.linalg.inv(cells))
    first, second = np.triu_indices(n)
    offsets = moved[:, second] - moved[:, first]
    vectors = positions[:, second] - positions[:, first] + offsets @ cells
    translations = shifts @ cells
    squares = 2.0 * vectors @ translations.transpose(0, 2, 1)
    squares += (vectors**2).sum(axis=2)[:, :, None]
    squares += (translations**2).sum(axis=2)[:, None, :]
    squares[:, first == second, : len(shifts) // 2 + 1] = np.inf
    counts = np.zeros(rows.shape, np.int64)
    types = batch["atom_types"].numpy()[rows]
    for centre, neighbour in ((first, second), (second, first)):
        limits = _limits(types[:, centre], types[:, neighbour], edges)
        near = squares < (limits**2)[:, :, None]
        at, pair, image = np.nonzero(np.abs(squares - (limits**2)[:, :, None]) < _MARGIN)
        if len(at):
            totals = shifts[image] + offsets[at, pair]
            near[at, pair, image] = _exact(positions, cells, at, first[pair], second[pair], totals) < limits[at, pair]
        found = near.sum(axis=2)
        for atom in range(n):
            counts[:, atom] += found[:, centre == atom].sum(axis=1)
    counts[(squares < 1e-3).any(axis=(1, 2))] = -1  # atoms that coincide, or nearly
    return counts


def _limits(centres: Array, neighbours: Array, edges: ModelEdges) -> Array:
    """Radius of each pair, Å."""
    if edges.cutoffs is None:
        return np.full(centres.shape, edges.r_max)
    return np.minimum(np.array(edges.cutoffs)[centres, neighbours], edges.r_max)


def _exact(positions: Array, cells: Array, at: Array, first: Array, second: Array, totals: Array) -> Array:
    """Lengths of pairs as neighbour lists have them, Å."""
    lengths = np.empty(len(at))
    for frame in np.unique(at):
        of = at == frame
        images = image_vectors(totals[of].astype(np.float64), cells[frame])
        lengths[of] = edge_lengths(positions[frame], first[of], second[of], images)
    return lengths
