"""Neighbour lists with a skin for trajectories: made for a larger radius, kept and filtered for each frame."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from equipot.graph import Graph, edge_set_key
from equipot.model._context import ModelInfo
from equipot.neighbors import FloatArray, IntArray, add_neighbors, edge_lengths, image_vectors


@dataclass(frozen=True)
class _Frame:
    """What decides about the edges of one frame."""

    positions: FloatArray
    cell: FloatArray
    pbc: np.ndarray[Any, Any]
    types: IntArray

    @property
    def kind(self) -> tuple[bytes, bytes]:
        """A list is for the same types in the same order and the same periodic directions."""
        return self.types.tobytes(), self.pbc.tobytes()


@dataclass
class _WideEdges:
    """One edge set, up to its radius plus the skin."""

    pairs: IntArray
    shifts: FloatArray
    images: FloatArray
    limit: FloatArray
    """Radius in Å of the model, one for each edge."""


@dataclass
class _Kept:
    """The list of one frame."""

    made_for: _Frame
    cell: FloatArray
    """The cell that its image vectors are of."""
    wide: dict[str, _WideEdges]

    def follow(self, cell: FloatArray) -> None:
        """Make the image vectors those of another cell."""
        self.cell = cell.copy()
        for edges in self.wide.values():
            edges.images = image_vectors(edges.shifts, cell)


class SkinNeighbors:
    """Edges of the frames of trajectories: the same edges, in the same order, as new lists would have.

    A pair that is missing in the kept list was at least R + skin apart when the list was made. Since then
    the cell was mapped by a matrix F, which shortens no vector by more than its smallest singular
    value s, and atoms moved by at most u beyond that. The list contains all pairs closer than R as long
    as s (R + skin) - 2 u is at least R: in a fixed cell, until an atom has moved by half of the skin.

    Each frame of a batch has a list of its own. Frames may leave, join or change their order: whether a list serves a
    frame is decided by the positions, so that it never matters whose list it was.

    Args:
        info: Cutoffs and edge sets of the model.
        skin: Å; 0 for a new list every time.
    """

    def __init__(self, info: ModelInfo, skin: float) -> None:
        self.skin = skin
        self.builds = 0
        """How often the list of a frame was made."""
        self._info = info
        self._r_max = info.r_max
        self._edge_sets = info.edge_sets
        self._cutoffs = info.cutoff_matrix
        self._kept: list[_Kept] = []
        self._wide: dict[str, _WideEdges] = {}
        """The edges of all frames of the last batch, with its atom indices."""

    def __reduce__(self) -> tuple[Any, ...]:
        """A copy, here or in another process, makes a list of its own: its edges will be the same."""
        return SkinNeighbors, (self._info, self.skin)

    def update(self, batch: Graph) -> Graph:
        """Add the edges.

        Args:
            batch: One or several frames on the CPU, each with at least one atom: ``positions``, ``cell``, ``pbc`` and
                ``atom_types``; several frames also need ``num_atoms``, and their atoms one after the other.

        Returns:
            A new dict with ``edge_index`` and ``edge_cell_shift`` of every edge set.

        Raises:
            DataError: As ``equipot.neighbors.add_neighbors``, about the frame.
        """
        frames = _frames(batch)
        if self.skin == 0.0 and len(frames) == 1:
            self.builds += 1
            return add_neighbors(batch, self._r_max, cutoffs=self._cutoffs, edge_sets=self._edge_sets)
        if self._keep_up_with(frames):
            sizes = [len(frame.positions) for frame in frames]
            self._wide = {
                name: _joined([one.wide[name] for one in self._kept], sizes) for name in self._info.edge_set_names
            }
        result = dict(batch)
        positions = batch["positions"].numpy()
        for name, edges in self._wide.items():
            lengths = edge_lengths(positions, edges.pairs[0], edges.pairs[1], edges.images)
            keep = np.flatnonzero(lengths < edges.limit)
            result[edge_set_key("edge_index", name)] = torch.from_numpy(edges.pairs.take(keep, axis=1))
            result[edge_set_key("edge_cell_shift", name)] = torch.from_numpy(edges.shifts.take(keep, axis=0))
        return result

    def _keep_up_with(self, frames: Sequence[_Frame]) -> bool:
        """Give every frame a list that serves it; whether any of the edges or image vectors are others than before."""
        kept = self._found(frames)
        pairs = list(zip(frames, kept, strict=True))
        stale = self._stale(frames, [frame if one is None else one.made_for for frame, one in pairs])
        now = [
            self._made(frame) if one is None or useless else one
            for (frame, one), useless in zip(pairs, stale, strict=True)
        ]
        changed = len(now) != len(self._kept) or any(a is not b for a, b in zip(now, self._kept, strict=True))
        for frame, one in zip(frames, now, strict=True):
            if not np.array_equal(frame.cell, one.cell):
                one.follow(frame.cell)
                changed = True
        self._kept = now
        return changed

    def _found(self, frames: Sequence[_Frame]) -> list[_Kept | None]:
        """For every frame one of the kept lists of its kind, in their order."""
        pool: defaultdict[tuple[bytes, bytes], deque[_Kept]] = defaultdict(deque)
        for one in self._kept:
            pool[one.made_for.kind].append(one)
        found = (pool[frame.kind] for frame in frames)
        return [lists.popleft() if lists else None for lists in found]

    def _made(self, frame: _Frame) -> _Kept:
        graph = {
            "positions": torch.from_numpy(frame.positions),
            "cell": torch.from_numpy(frame.cell)[None],
            "pbc": torch.from_numpy(frame.pbc)[None],
        }
        wide = [(name, radius + self.skin) for name, radius in self._edge_sets]
        made = add_neighbors(graph, self._r_max + self.skin, edge_sets=wide)
        self.builds += 1
        edges = {}
        for name, radius in (("", self._r_max), *self._edge_sets):
            pairs = made[edge_set_key("edge_index", name)].numpy()
            shifts = made[edge_set_key("edge_cell_shift", name)].numpy()
            limit = np.full(len(shifts), radius)
            if name == "" and self._cutoffs is not None:
                limit = self._cutoffs.numpy()[frame.types[pairs[0]], frame.types[pairs[1]]]
            edges[name] = _WideEdges(pairs, shifts, image_vectors(shifts, frame.cell), limit)
        copied = _Frame(frame.positions.copy(), frame.cell.copy(), frame.pbc.copy(), frame.types.copy())
        return _Kept(copied, copied.cell, edges)

    def _stale(self, frames: Sequence[_Frame], made_for: Sequence[_Frame]) -> np.ndarray[Any, Any]:
        """For every frame, whether pairs may be missing in a list made for the other one."""
        mapped = [old.positions for old in made_for]
        shortest = np.ones(len(frames))
        for index, (frame, old) in enumerate(zip(frames, made_for, strict=True)):
            if np.array_equal(frame.cell, old.cell):
                continue
            if np.linalg.matrix_rank(old.cell) < 3:
                shortest[index] = 0.0
                continue
            mapping = np.linalg.solve(old.cell, frame.cell)
            mapped[index] = old.positions @ mapping
            shortest[index] = min(1.0, np.linalg.svd(mapping, compute_uv=False)[-1])
        moved = np.sqrt(_largest_squares([frame.positions for frame in frames], mapped))
        largest = max([self._r_max, *(radius for _, radius in self._edge_sets)])
        return ~(shortest * self.skin - (1.0 - shortest) * largest >= 2.0 * moved)


def _frames(batch: Graph) -> list[_Frame]:
    positions, cell, pbc, types = (batch[key].numpy() for key in ("positions", "cell", "pbc", "atom_types"))
    if len(cell) == 1:
        return [_Frame(positions, cell[0], pbc[0], types)]
    ends = np.cumsum(batch["num_atoms"].numpy())
    return [
        _Frame(positions[start:end], one_cell, one_pbc, types[start:end])
        for start, end, one_cell, one_pbc in zip([0, *ends[:-1]], ends, cell, pbc, strict=True)
    ]


def _largest_squares(positions: Sequence[FloatArray], others: Sequence[FloatArray]) -> FloatArray:
    """Square of the largest move of an atom of each frame, Å²."""
    if len(positions) == 1:
        return np.square(positions[0] - others[0]).sum(axis=1).max(keepdims=True)
    starts = np.cumsum([0, *(len(one) for one in positions[:-1])])
    squares = np.square(np.concatenate(positions) - np.concatenate(others)).sum(axis=1)
    return np.maximum.reduceat(squares, starts)


def _joined(parts: Sequence[_WideEdges], sizes: Sequence[int]) -> _WideEdges:
    """The edges of several frames as those of their batch."""
    if len(parts) == 1:
        return parts[0]
    starts = np.cumsum([0, *sizes[:-1]])
    return _WideEdges(
        np.concatenate([part.pairs + start for part, start in zip(parts, starts, strict=True)], axis=1),
        np.concatenate([part.shifts for part in parts]),
        np.concatenate([part.images for part in parts], axis=1),
        np.concatenate([part.limit for part in parts]),
    )
