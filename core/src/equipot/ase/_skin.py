"""A neighbour list with a skin for trajectories: made for a larger radius, kept and filtered for each frame."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from equipot.graph import Graph, edge_set_key
from equipot.model._context import ModelInfo
from equipot.neighbors import FloatArray, IntArray, add_neighbors, edge_lengths, image_vectors


@dataclass
class _WideEdges:
    """One edge set, up to its radius plus the skin."""

    pairs: IntArray
    shifts: FloatArray
    images: FloatArray
    limit: FloatArray | float
    """Radius in Å of the model, one for all edges or one for each."""


class SkinNeighbors:
    """Edges of the frames of a trajectory: the same edges, in the same order, as a new list would have.

    A pair that is missing in the kept list was at least R + skin apart when the list was made. Since then
    the cell was mapped by a matrix F, which shortens no vector by more than its smallest singular
    value s, and atoms moved by at most u beyond that. The list contains all pairs closer than R as long
    as s (R + skin) - 2 u is at least R: in a fixed cell, until an atom has moved by half of the skin.

    Args:
        info: Cutoffs and edge sets of the model.
        skin: Å; 0 for a new list every time.
    """

    def __init__(self, info: ModelInfo, skin: float) -> None:
        self.skin = skin
        self.builds = 0
        """How often a list was made."""
        self._info = info
        self._r_max = info.r_max
        self._edge_sets = info.edge_sets
        self._cutoffs = info.cutoff_matrix
        self._made_for: Graph = {}
        self._wide: dict[str, _WideEdges] = {}

    def __reduce__(self) -> tuple[Any, ...]:
        """A copy, here or in another process, makes a list of its own: its edges will be the same."""
        return SkinNeighbors, (self._info, self.skin)

    def update(self, frame: Graph) -> Graph:
        """The frame, one on the CPU with positions, cell, pbc and atom_types, with its edges added."""
        if self.skin == 0.0:
            self.builds += 1
            return add_neighbors(frame, self._r_max, cutoffs=self._cutoffs, edge_sets=self._edge_sets)
        if self._is_stale(frame):
            self._make(frame)
        elif not torch.equal(frame["cell"], self._made_for["cell"]):
            for edges in self._wide.values():
                edges.images = image_vectors(edges.shifts, frame["cell"][0].numpy())
        result = dict(frame)
        for name, edges in self._wide.items():
            lengths = edge_lengths(frame["positions"].numpy(), edges.pairs[0], edges.pairs[1], edges.images)
            keep = np.flatnonzero(lengths < edges.limit)
            result[edge_set_key("edge_index", name)] = torch.from_numpy(edges.pairs.take(keep, axis=1))
            result[edge_set_key("edge_cell_shift", name)] = torch.from_numpy(edges.shifts.take(keep, axis=0))
        return result

    def _make(self, frame: Graph) -> None:
        wide = [(name, radius + self.skin) for name, radius in self._edge_sets]
        made = add_neighbors(frame, self._r_max + self.skin, edge_sets=wide)
        self.builds += 1
        self._made_for = {key: frame[key] for key in ("positions", "cell", "pbc", "atom_types")}
        cell, types = frame["cell"][0].numpy(), frame["atom_types"].numpy()
        self._wide = {}
        for name, radius in (("", self._r_max), *self._edge_sets):
            pairs = made[edge_set_key("edge_index", name)].numpy()
            shifts = made[edge_set_key("edge_cell_shift", name)].numpy()
            limit: FloatArray | float = radius
            if name == "" and self._cutoffs is not None:
                limit = self._cutoffs.numpy()[types[pairs[0]], types[pairs[1]]]
            self._wide[name] = _WideEdges(pairs, shifts, image_vectors(shifts, cell), limit)

    def _is_stale(self, frame: Graph) -> bool:
        kept = self._made_for
        if not kept or not all(torch.equal(frame[key], kept[key]) for key in ("atom_types", "pbc")):
            return True
        mapped, shortest = kept["positions"], 1.0
        if not torch.equal(frame["cell"], kept["cell"]):
            if torch.linalg.matrix_rank(kept["cell"][0]) < 3:
                return True
            mapping = torch.linalg.solve(kept["cell"][0], frame["cell"][0])
            mapped, shortest = mapped @ mapping, min(1.0, float(torch.linalg.svdvals(mapping)[-1]))
        moved = float((frame["positions"] - mapped).square().sum(1).max().sqrt())
        largest = max([self._r_max, *(radius for _, radius in self._edge_sets)])
        return not shortest * self.skin - (1.0 - shortest) * largest >= 2.0 * moved
