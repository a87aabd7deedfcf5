"""What frames look like: neighbours, close contacts, densities, and whether one frame follows from the one before.

Numbers come from frames that lie evenly in the data, so that they are the same in every run and cost little.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from equipot.errors import DataError
from equipot.neighbors import edge_lengths, image_vectors, neighbor_list

if TYPE_CHECKING:
    from equipot.data import FrameCollection
    from equipot.graph import Graph

Array = npt.NDArray[Any]

RADII = (4.0, 4.5, 5.0, 5.5, 6.0)
"""Å: radii at which neighbours are counted."""

_MOST_ATOMS, _MOST_FRAMES = 20_000, 300
"""Atoms and frames whose neighbours are counted; at most one frame is larger than the first allows."""

_PAIRS, _LAGS = 60, (1, 2, 4, 8, 16, 32, 64)
"""Pairs of frames that are compared for each number of frames between them."""

FOLLOWS, FORGOTTEN = 0.25, 0.5
"""Mean squares of displacements relative to those of frames far apart: below the first, neighbouring frames are steps
of one trajectory; above the second, frames do not know of each other any more."""


@dataclass(frozen=True)
class Surroundings:
    """Neighbours and distances in some frames."""

    neighbors: dict[float, float] = field(default_factory=dict)
    """Mean number of neighbours of an atom within each of ``RADII`` (Å)."""
    nearest: float = 0.0
    """Distance to the nearest neighbour that 95 % of the atoms do not exceed, Å; 0 without any neighbour."""
    contact: float = float("inf")
    """Smallest distance of two atoms in sums of their covalent radii; infinity without any neighbour."""
    density: float | None = None
    """Mean number of atoms per Å³ in fully periodic frames; None without such frames."""


def evenly(indices: Sequence[int], most: int) -> list[int]:
    """At most so many of the indices, evenly spread.

    Example:
        >>> evenly(range(10), 4)
        [0, 2, 5, 7]
    """
    if len(indices) <= most:
        return list(indices)
    return [indices[number * len(indices) // most] for number in range(most)]


def surroundings(frames: Sequence[Graph], pool: Sequence[int], sizes: Sequence[int]) -> Surroundings:
    """Neighbours, contacts and density in frames of all sizes.

    Args:
        frames: As read.
        pool: Indices of the frames to draw from.
        sizes: Number of atoms of each of all frames.
    """
    counts, atoms = np.zeros(len(RADII)), 0
    nearest: list[Array] = []
    contact, densities = float("inf"), []
    for index in _drawn(pool, sizes):
        frame = frames[index]
        pbc, cell = frame["pbc"][0].numpy(), frame["cell"][0].numpy()
        if pbc.all() and (volume := abs(float(np.linalg.det(cell)))) > 0.0:
            densities.append(sizes[index] / volume)
        edges, lengths = _edges(frame)
        counts += [(lengths < radius).sum() for radius in RADII]
        atoms += sizes[index]
        if len(lengths):
            each = np.full(sizes[index], np.inf)
            np.minimum.at(each, edges[0], lengths)
            nearest.append(each[np.isfinite(each)])
            contact = min(contact, float((lengths / _covalent(frame, edges)).min()))
    every = np.concatenate(nearest) if nearest else np.zeros(0)
    return Surroundings(
        neighbors={radius: float(count) / max(atoms, 1) for radius, count in zip(RADII, counts, strict=True)},
        nearest=float(np.quantile(every, 0.95)) if len(every) else 0.0,
        contact=contact,
        density=float(np.mean(densities)) if densities else None,
    )


def _drawn(pool: Sequence[int], sizes: Sequence[int]) -> list[int]:
    """Frames whose neighbours are counted: from the smallest to the largest, in order."""
    by_size = sorted(pool, key=lambda index: sizes[index])
    mean = sum(sizes[index] for index in pool) / max(len(pool), 1)
    return sorted(evenly(by_size, max(1, min(_MOST_FRAMES, int(_MOST_ATOMS / max(mean, 1.0))))))


def _edges(frame: Graph) -> tuple[Array, Array]:
    """Pairs within the largest radius, and their lengths in Å; none where atoms coincide, which the checks report."""
    positions, cell = frame["positions"].numpy(), frame["cell"][0].numpy()
    try:
        edges, shift = neighbor_list(positions, cell, frame["pbc"][0].numpy(), RADII[-1])
    except DataError:
        return np.zeros((2, 0), np.int64), np.zeros(0)
    return edges, edge_lengths(positions, edges[0], edges[1], image_vectors(shift, cell))


def _covalent(frame: Graph, edges: Array) -> Array:
    from ase.data import covalent_radii

    radii = covalent_radii[frame["atomic_numbers"].numpy()]
    return radii[edges[0]] + radii[edges[1]]


# ------------------------------------------------------------------------------ trajectories


def memory(whole: FrameCollection, pool: Sequence[int]) -> int:
    """After how many frames a trajectory has forgotten where it was; 0 if the frames are not steps of one.

    Args:
        whole: All frames.
        pool: Indices of those that count, in the order of the files.
    """
    far = _typical(whole, pool, max(1, len(pool) // 2))
    if len(pool) < 2 * _LAGS[2] or not far or not (near := _typical(whole, pool, 1)) or near >= FOLLOWS * far:
        return 0
    for lag in _LAGS[1:]:
        moved = _typical(whole, pool, lag) if 2 * lag < len(pool) else far
        if moved is None or moved >= FORGOTTEN * far:
            return lag
    return _LAGS[-1]


def _typical(whole: FrameCollection, pool: Sequence[int], lag: int) -> float | None:
    """Median over pairs of frames of the mean square displacement, Å²; None if most pairs are not comparable."""
    starts = evenly(range(len(pool) - lag), _PAIRS)
    pairs = [(pool[start], pool[start + lag]) for start in starts]
    found = [_displacement(whole.frames[a], whole.frames[b]) for a, b in pairs if _alike(whole, a, b)]
    moved = [one for one in found if one is not None]
    return float(np.median(moved)) if moved and len(moved) > len(pairs) // 2 else None


def _alike(whole: FrameCollection, a: int, b: int) -> bool:
    """Whether two frames have the same atoms and come from the same file."""
    files = [whole.places[index].rpartition(", frame ")[0] for index in (a, b)]
    return files[0] == files[1] and whole.composition(a) == whole.composition(b)


def _displacement(a: Mapping[str, Any], b: Mapping[str, Any]) -> float | None:
    """Mean square displacement of the atoms, Å²; of molecules, that of the distances from the centre."""
    if not np.array_equal(a["atomic_numbers"].numpy(), b["atomic_numbers"].numpy()):
        return None
    first, second, pbc = a["positions"].numpy(), b["positions"].numpy(), a["pbc"][0].numpy()
    if not pbc.any():
        spans = [np.linalg.norm(one - one.mean(axis=0), axis=1) for one in (first, second)]
        return float(((spans[1] - spans[0]) ** 2).mean())
    cell = a["cell"][0].numpy()
    step = second - first
    if pbc.all():
        fractions = np.linalg.solve(cell.T, step.T).T
        step = (fractions - np.round(fractions)) @ cell
    step = step - step.mean(axis=0)
    return float((step**2).sum(axis=1).mean())
