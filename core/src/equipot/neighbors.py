"""Neighbour lists, which are sorted and do not depend on the library that finds the pairs.

Full lists (both directions of each pair, no self pairs at zero shift), strictly r < radius, for any
mix of periodic directions, cells smaller than the radius and atoms outside their cell.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch

from equipot.errors import ConfigError, DataError, problem
from equipot.graph import Graph, edge_set_key

Backend = Literal["vesin", "matscipy"]
BACKENDS: tuple[Backend, ...] = ("vesin", "matscipy")

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

COINCIDENT = 1e-6
"""Atoms closer than this (Å) are treated as a mistake in the data: potentials are not defined there."""


def neighbor_list(
    positions: FloatArray, cell: FloatArray, pbc: npt.NDArray[np.bool_], r_max: float, *, backend: Backend = "vesin"
) -> tuple[IntArray, FloatArray]:
    """All directed pairs of atoms (or their periodic images) with distance < r_max.

    Args:
        positions: Å, shape [n_atoms, 3]; atoms may lie outside the cell.
        cell: Cell vectors as rows, Å, shape [3, 3]; rows of non-periodic directions may be zero.
        pbc: Periodic along each cell vector, shape [3].
        r_max: Radius, Å.
        backend: Library that finds the pairs; the result does not depend on it.

    Returns:
        Centres and neighbours, shape [2, n_edges], and integer cell shifts S, shape [n_edges, 3], in
        the order of (centre, neighbour, S). The vector of an edge is
        ``positions[neighbour] + S @ cell - positions[centre]``.

    Raises:
        DataError: If atoms coincide, or a periodic direction has no cell vector.
        ConfigError: On an unknown backend or a radius that is not positive.
    """
    _check_options(r_max, backend)
    edges, shift, _ = _sorted_pairs(positions, cell, pbc, r_max, backend)
    return edges, shift


def _check_options(r_max: float, backend: str) -> None:
    if backend not in BACKENDS:
        raise ConfigError(
            problem("neighbor_list.backend", "unknown", got=backend, hint=f"choose one of {list(BACKENDS)}")
        )
    if not r_max > 0.0:
        raise ConfigError(problem("neighbor_list.r_max", "must be greater than 0", got=r_max))


def _sorted_pairs(
    positions: FloatArray, cell: FloatArray, pbc: npt.NDArray[np.bool_], r_max: float, backend: Backend
) -> tuple[IntArray, FloatArray, FloatArray]:
    """Pairs, shifts and lengths."""
    positions = np.ascontiguousarray(positions, np.float64)
    cell, pbc = np.asarray(cell, np.float64), np.asarray(pbc, np.bool_)
    box = _complete_cell(cell, pbc, positions, r_max)
    find = _find_with_vesin if backend == "vesin" else _find_with_matscipy
    centre, neighbour, shift = find(positions, box, pbc, r_max * (1.0 + 1e-10))  # r < r_max is checked below
    length = edge_lengths(positions, centre, neighbour, image_vectors(shift, cell))
    if (length < COINCIDENT).any():
        raise DataError(_coincident(centre, neighbour, length))
    order = _order(centre, neighbour, shift, len(positions))
    order = order[length.take(order) < r_max]
    return np.stack([centre.take(order), neighbour.take(order)]), shift.take(order, axis=0), length.take(order)


def _order(centre: IntArray, neighbour: IntArray, shift: FloatArray, n_atoms: int) -> IntArray:
    """Indices that sort by centre, neighbour and shift."""
    if not len(centre):
        return np.zeros(0, np.int64)
    least = shift.min(axis=0)
    spans = [int(span) for span in shift.max(axis=0) - least + 1.0]
    if n_atoms**2 * math.prod(spans) >= 2**62:
        return np.lexsort((shift[:, 2], shift[:, 1], shift[:, 0], neighbour, centre))
    key = centre * n_atoms + neighbour  # all five as one number, which sorts faster
    for column, span in enumerate(spans):
        key *= span
        key += (shift[:, column] - least[column]).astype(np.int64)
    return np.argsort(key)


def image_vectors(shift: FloatArray, cell: FloatArray) -> FloatArray:
    """Cell shifts of the neighbours' periodic images as vectors.

    Args:
        shift: Integer cell shifts S, shape [n_edges, 3].
        cell: Cell vectors as rows, Å, shape [3, 3].

    Returns:
        ``S @ cell`` in Å, transposed: shape [3, n_edges].
    """
    columns = [shift[:, axis] for axis in range(3)]
    return np.stack([columns[0] * x[0] + columns[1] * x[1] + columns[2] * x[2] for x in cell.T])


def edge_lengths(positions: FloatArray, centre: IntArray, neighbour: IntArray, images: FloatArray) -> FloatArray:
    """Lengths of edges; to the last bit, each depends only on its own two atoms.

    Args:
        positions: Å, shape [n_atoms, 3].
        centre: Shape [n_edges].
        neighbour: Shape [n_edges].
        images: As given by ``image_vectors``, shape [3, n_edges].

    Returns:
        Å, shape [n_edges].
    """
    squares = np.zeros(len(centre))
    for axis, image in enumerate(images):  # one component at a time, which is several times faster than rows of three
        component = np.ascontiguousarray(positions[:, axis])
        difference = component.take(neighbour)
        difference -= component.take(centre)
        difference += image
        difference *= difference
        squares += difference
    return np.sqrt(squares, out=squares)


def _find_with_vesin(
    positions: FloatArray, box: FloatArray, pbc: npt.NDArray[np.bool_], r_max: float
) -> tuple[IntArray, IntArray, FloatArray]:
    from vesin import NeighborList

    finder = NeighborList(cutoff=r_max, full_list=True)
    centre, neighbour, shift = finder.compute(points=positions, box=box, periodic=pbc, quantities="ijS")
    return centre.astype(np.int64), neighbour.astype(np.int64), shift.reshape(-1, 3).astype(np.float64)


def _find_with_matscipy(
    positions: FloatArray, box: FloatArray, pbc: npt.NDArray[np.bool_], r_max: float
) -> tuple[IntArray, IntArray, FloatArray]:
    from matscipy.neighbours import neighbour_list

    centre, neighbour, shift = neighbour_list("ijS", positions=positions, cell=box, pbc=pbc, cutoff=r_max)
    return centre.astype(np.int64), neighbour.astype(np.int64), shift.reshape(-1, 3).astype(np.float64)


def _complete_cell(cell: FloatArray, pbc: npt.NDArray[np.bool_], positions: FloatArray, r_max: float) -> FloatArray:
    """A non-singular cell, with vectors for the non-periodic directions.

    The vectors of non-periodic directions only bound the search (their shifts are zero), so they are
    replaced by normals of the periodic ones, long enough to contain all atoms.
    """
    if pbc.any() and np.linalg.matrix_rank(cell[pbc]) < pbc.sum():
        raise DataError(
            problem(
                "cell",
                f"no volume along the periodic directions {pbc.tolist()}",
                got=cell.tolist(),
                hint="set pbc to false there or give the cell vectors",
            )
        )
    if pbc.all():
        return cell
    normals = np.linalg.svd(cell[pbc], full_matrices=True)[2][pbc.sum() :] if pbc.any() else np.eye(3)
    extent = np.ptp(positions @ normals.T, axis=0) + 2.0 * r_max
    box = cell.copy()
    box[~pbc] = normals * extent[:, None]
    return box


def _coincident(centre: IntArray, neighbour: IntArray, distance: FloatArray) -> str:
    pairs = {
        (min(i, j), max(i, j))
        for i, j in zip(*(x[distance < COINCIDENT].tolist() for x in (centre, neighbour)), strict=True)
    }
    shown = ", ".join(f"{i} and {j}" for i, j in sorted(pairs)[:5])
    more = f" and {len(pairs) - 5} more pairs" if len(pairs) > 5 else ""
    return problem(
        "positions", f"atoms at the same place: {shown}{more} (counted from 0)", hint="remove the duplicates"
    )


def add_neighbors(
    frame: Graph,
    r_max: float,
    *,
    cutoffs: torch.Tensor | None = None,
    edge_sets: Sequence[tuple[str, float]] = (),
    backend: Backend = "vesin",
) -> Graph:
    """The frame with its edges.

    Args:
        frame: One frame with positions, cell, pbc; also atom_types if cutoffs are given.
        r_max: Radius of the model's edges, Å.
        cutoffs: R[centre type, neighbour type] in Å, shape [n_types, n_types]; edges satisfy r < R.
        edge_sets: Further sets (name, radius in Å), stored as ``edge_index:NAME``.
        backend: Library that finds the pairs.

    Returns:
        A new dict with ``edge_index`` [2, n_edges] and ``edge_cell_shift`` [n_edges, 3] (float64) for
        every set, on the device of the positions.

    Raises:
        DataError: If atoms coincide, a periodic direction has no cell vector, or the graph is a batch.
    """
    if frame["cell"].shape[0] != 1:
        raise DataError(
            problem(
                "add_neighbors",
                "works on one frame",
                got=f"{frame['cell'].shape[0]} frames",
                hint="use equipot.graph.split",
            )
        )
    positions = frame["positions"].detach().cpu().numpy()
    cell = frame["cell"][0].detach().cpu().numpy()
    largest = max([r_max, *(radius for _, radius in edge_sets)])
    _check_options(largest, backend)
    edges, shift, length = _sorted_pairs(positions, cell, frame["pbc"][0].cpu().numpy(), largest, backend)
    result = dict(frame)
    limit: FloatArray | float = r_max
    if cutoffs is not None:
        types = frame["atom_types"].cpu().numpy()
        limit = np.minimum(cutoffs.detach().cpu().numpy()[types[edges[0]], types[edges[1]]], r_max)
    for name, radius in (("", limit), *edge_sets):
        keep = np.flatnonzero(length < radius)
        device = frame["positions"].device
        result[edge_set_key("edge_index", name)] = torch.from_numpy(edges.take(keep, axis=1)).to(device)
        result[edge_set_key("edge_cell_shift", name)] = torch.from_numpy(shift.take(keep, axis=0)).to(device)
    return result
