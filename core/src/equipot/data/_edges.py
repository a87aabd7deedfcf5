"""The neighbour list of a model."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import torch

from equipot.graph import Graph
from equipot.model._context import ModelInfo
from equipot.neighbors import Backend, add_neighbors


@dataclass(frozen=True)
class ModelEdges:
    """Adds the edges of a model with its radii and edge sets; takes the place of ``NeighborListTransform``."""

    r_max: float
    """Largest radius, Å."""

    cutoffs: tuple[tuple[float, ...], ...] | None
    """Radius of each pair of types in Å, by centre and neighbour; None: r_max for all."""

    edge_sets: tuple[tuple[str, float], ...]
    """Further sets of edges: name and radius in Å."""

    backend: Backend = "vesin"
    """Library that finds the pairs."""

    def __call__(self, frame: Graph) -> Graph:
        """Adds ``edge_index`` [2, n_edges] and ``edge_cell_shift`` [n_edges, 3] of each set.

        Raises:
            DataError: If atoms coincide.
        """
        return add_neighbors(frame, self.r_max, cutoffs=self._radii, edge_sets=self.edge_sets, backend=self.backend)

    @functools.cached_property
    def _radii(self) -> torch.Tensor | None:
        return None if self.cutoffs is None else torch.tensor(self.cutoffs, dtype=torch.float64)


def edges_for_model(info: ModelInfo, backend: Backend = "vesin") -> ModelEdges:
    """Neighbour list of a model."""
    return ModelEdges(info.r_max, info.cutoffs, info.edge_sets, backend)
