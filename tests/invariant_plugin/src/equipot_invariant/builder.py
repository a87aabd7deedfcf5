"""The builder: radial functions by pair of types, summed over neighbours, squashed for each atom."""

from __future__ import annotations

import dataclasses
import math
from typing import Annotated

import torch
from pydantic import Field

from equipot.graph import Graph
from equipot.model import BuildContext, EnergyModule, ModelBuilder, pair_index
from equipot.nn.cutoff import polynomial_cutoff


class InvariantEnergy(EnergyModule):
    """Energy of an atom: out[t_i] · tanh(sum_j radial(r_ij) · weights[t_i, t_j])."""

    requires = ("edge_lengths", "normalized_edge_lengths", "edge_index", "atom_types")
    locality = "strict"

    def __init__(self, context: BuildContext, num_radial: int, num_channels: int, avg_num_neighbors: float) -> None:
        """Draw the initial weights from the context's generator."""
        super().__init__()

        def normal(*shape: int) -> torch.nn.Parameter:
            return torch.nn.Parameter(torch.randn(*shape, dtype=context.model_dtype, generator=context.generator))

        self.num_types = context.num_types
        self.weights = normal(context.num_types**2, num_radial, num_channels)
        self.out = normal(context.num_types, num_channels)
        self.factor = 1.0 / math.sqrt(num_radial * avg_num_neighbors)
        frequencies = math.pi * torch.arange(1, num_radial + 1, dtype=torch.float64)
        self.features = f"{num_channels}x0e"
        self.register_buffer("frequencies", frequencies, persistent=False)

    def forward(self, data: Graph, *, features: bool = False) -> Graph:
        """Unscaled atomic energies, shape [n_atoms]; on request the squashed sums of each atom as features."""
        (centre, neighbour), types = data["edge_index"], data["atom_types"]
        x = data["normalized_edge_lengths"].unsqueeze(1)
        radial = torch.sin(self.frequencies * x) / data["edge_lengths"].unsqueeze(1) * polynomial_cutoff(x, 6.0)
        pair = pair_index(types.index_select(0, centre), types.index_select(0, neighbour), self.num_types)
        edges = torch.einsum("er,erc->ec", radial.to(self.weights.dtype), self.weights.index_select(0, pair))
        density = torch.zeros(types.shape[0], self.weights.shape[2], dtype=edges.dtype, device=edges.device)
        density = density.index_add(0, centre, self.factor * edges)
        squashed = torch.tanh(density)
        found = {"atomic_energy": (squashed * self.out.index_select(0, types)).sum(1)}
        return found | ({"node_features": squashed} if features else {})


@dataclasses.dataclass(frozen=True, kw_only=True)
class InvariantModel(ModelBuilder):
    """A small invariant model."""

    node_features = "squashed sums over neighbours"

    num_radial: Annotated[int, Field(ge=1, le=4096)] = 8
    """Number of radial functions."""

    num_channels: Annotated[int, Field(ge=1, le=4096)] = 8
    """Number of sums over neighbours that each atom has."""

    avg_num_neighbors: Annotated[float, Field(gt=0)] = 1.0
    """Mean number of neighbours, for normalisation."""

    per_edge_type_cutoff: dict[str, float | dict[str, float]] | None = None
    """Cutoff radii in Å by type of the centre, or by centre and neighbour; at most ``r_max``."""

    def build_energy(self, context: BuildContext) -> EnergyModule:
        """Make the energy module."""
        return InvariantEnergy(context, self.num_radial, self.num_channels, self.avg_num_neighbors)
