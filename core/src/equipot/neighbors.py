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

FARTHEST = 1e8
"""Largest coordinate, Å: beyond it neighbouring numbers in float64 are more than 1e-8 Å apart."""

LONG = 100.0
"""Length of a box, in radii, from which on its empty space is left out of the search."""

MOST_EDGES = 4e8
"""Most edges that a list may be expected to have, about 25 GB; a cell that asks for more is taken for a mistake."""


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
    _check_geometry(positions, cell, pbc, r_max)
    compact, box, moved = _compact(positions, cell, pbc, r_max)
    margin = 1e-10 * r_max + 1e-14 * float(np.abs(positions).max(initial=0.0))  # rounding of the compact positions
    find = _find_with_vesin if backend == "vesin" else _find_with_matscipy
    centre, neighbour, shift = find(compact, box, r_max + margin)  # r < r_max is decided below
    if not pbc.all():
        inside = np.flatnonzero(~shift[:, ~pbc].any(axis=1))  # a wider search may reach images that do not exist
        centre, neighbour, shift = centre.take(inside), neighbour.take(inside), shift.take(inside, axis=0)
    shift += moved.take(neighbour, axis=0) - moved.take(centre, axis=0)
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


def _find_with_vesin(positions: FloatArray, box: FloatArray, r_max: float) -> tuple[IntArray, IntArray, FloatArray]:
    from vesin import NeighborList

    finder = NeighborList(cutoff=_vesin_radius(box, r_max), full_list=True)
    centre, neighbour, shift = finder.compute(points=positions, box=box, periodic=True, quantities="ijS")
    return centre.astype(np.int64), neighbour.astype(np.int64), shift.reshape(-1, 3).astype(np.float64)


def _vesin_radius(box: FloatArray, r_max: float) -> float:
    """The radius to search with: larger than r_max where vesin would divide by zero; what is too far is left out later.

    vesin (0.6) makes at most 1e5 search cells. Beyond that it scales their number in x, y and z by one formula, which
    gives 0 cells along the short sides of very flat or very long boxes, and the process dies of it.
    """
    heights = 1.0 / np.linalg.norm(np.linalg.inv(box), axis=0)
    radius = r_max
    while not _vesin_has_cells(np.maximum(np.floor(heights / radius), 1.0)):
        radius *= 1.26  # half as many cells in space
    return radius


def _vesin_has_cells(counts: FloatArray) -> bool:
    """Whether vesin's formula leaves at least one search cell along x, y and z."""
    if counts.prod() <= _VESIN_CELLS:
        return True
    x_to_y, y_to_z = counts[0] / counts[1], counts[1] / counts[2]
    along_z = np.trunc(np.cbrt(_VESIN_CELLS / (x_to_y * y_to_z * y_to_z)))
    along_y = np.trunc(y_to_z * along_z)
    return bool(min(along_z, along_y, np.trunc(x_to_y * along_y)) >= 1.0)


_VESIN_CELLS = 1e5


def _find_with_matscipy(positions: FloatArray, box: FloatArray, r_max: float) -> tuple[IntArray, IntArray, FloatArray]:
    from matscipy.neighbours import neighbour_list

    centre, neighbour, shift = neighbour_list("ijS", positions=positions, cell=box, pbc=[True] * 3, cutoff=r_max)
    return centre.astype(np.int64), neighbour.astype(np.int64), shift.reshape(-1, 3).astype(np.float64)


def _check_geometry(positions: FloatArray, cell: FloatArray, pbc: npt.NDArray[np.bool_], r_max: float) -> None:
    """Refuse what has no numbers: coordinates without digits, periodic directions without volume, far too many images.

    Raises:
        DataError: Saying which.
    """
    largest = float(np.abs(positions).max(initial=0.0))
    if not largest <= FARTHEST:
        what = f"coordinates must be finite and below {FARTHEST:g} Å, beyond which distances lose their digits"
        raise DataError(problem("positions", what, got=largest, hint="wrap the atoms into the cell or centre them"))
    if not pbc.any():
        return
    periodic = cell[pbc]
    if not np.isfinite(periodic).all() or np.linalg.matrix_rank(periodic) < pbc.sum():
        what = f"no volume along the periodic directions {pbc.tolist()}"
        hint = "set pbc to false there or give the cell vectors"
        raise DataError(problem("cell", what, got=cell.tolist(), hint=hint))
    size = math.sqrt(np.linalg.det(periodic @ periodic.T))  # length, area or volume
    ball = {1: 2.0 * r_max, 2: math.pi * r_max**2, 3: 4.0 / 3.0 * math.pi * r_max**3}[int(pbc.sum())]
    if len(positions) * ball / size > MOST_EDGES:
        what = f"is so small that a radius of {r_max:g} Å reaches about {ball / size:.1g} images of each atom"
        raise DataError(problem("cell", what, got=cell.tolist(), hint="check the unit of the cell vectors"))


def _compact(
    positions: FloatArray, cell: FloatArray, pbc: npt.NDArray[np.bool_], r_max: float
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Positions in a box without wide empty space, which have the same pairs: cost follows the atoms, not the gaps.

    Along periodic directions atoms are wrapped into the cell. Directions without periodicity get vectors of their own,
    normal to the periodic ones, so long that no edge reaches an image along them: the search may take them for
    periodic. Where the box is very long, gaps between planes that no edge can cross are shortened, and the box with
    them.

    Returns:
        Positions inside the box, the box (rows, Å), and the cell vectors that wrapping added to each atom,
        shape [n_atoms, 3].
    """
    box = cell.copy()
    if not pbc.all():
        normals = np.linalg.svd(cell[pbc], full_matrices=True)[2][pbc.sum() :] if pbc.any() else np.eye(3)
        heights = positions @ normals.T
        box[~pbc] = normals * (np.ptp(heights, axis=0) + 2.0 * r_max)[:, None]
    inverse = np.linalg.inv(box)
    fractional = positions @ inverse
    moved = np.where(pbc, -np.floor(fractional), 0.0)
    fractional += np.where(pbc, moved, -fractional.min(axis=0, initial=math.inf))
    for axis in np.flatnonzero(1.0 / np.linalg.norm(inverse, axis=0) > LONG * r_max):
        height = 1.0 / float(np.linalg.norm(inverse[:, axis]))
        order = np.argsort(fractional[:, axis], kind="stable")
        gaps = np.diff(fractional[order, axis], prepend=fractional[order[-1:], axis] - 1.0) * height
        short = np.minimum(gaps, 2.0 * r_max)  # the first is the gap between the last atom and the first one's image
        box[axis] *= short.sum() / height
        fractional[order, axis] = (short.cumsum() - short[0]) / short.sum()
    return fractional @ box, box, moved


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
