"""Tiny equivariant models that need no plugin: what modifiers, pair potentials and engines are tested on."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

import torch

from equipot.graph import Graph
from equipot.model import BuildContext, EnergyModule, ModelBuilder, pair_index
from equipot.nn.cutoff import polynomial_cutoff
from equipot.nn.exchange import GhostExchange


class ToyEnergy(EnergyModule):
    """tanh of a sum over neighbours and of the squared length of a vector sum."""

    requires: ClassVar[tuple[str, ...]] = (
        "edge_vectors", "edge_lengths", "normalized_edge_lengths", "edge_index", "atom_types",
    )  # fmt: skip
    locality = "strict"

    def __init__(self, context: BuildContext) -> None:
        """Draw the weights.

        Args:
            context: Types, dtype and generator.
        """
        super().__init__()
        shape = (context.num_types**2, 2)
        weights = torch.randn(shape, dtype=context.model_dtype, generator=context.generator)
        self.weights = torch.nn.Parameter(weights)
        self.num_types = context.num_types

    def envelope(self, data: Graph) -> torch.Tensor:
        """Radial part of each edge, [n_edges]."""
        lengths = data["edge_lengths"]
        return torch.exp(-0.3 * lengths) * polynomial_cutoff(data["normalized_edge_lengths"], 6.0)

    def pairs(self, data: Graph) -> torch.Tensor:
        """Index of each edge's ordered pair of types, [n_edges]."""
        types, (centre, neighbour) = data["atom_types"], data["edge_index"]
        return pair_index(types.index_select(0, centre), types.index_select(0, neighbour), self.num_types)

    def sums(self, data: Graph) -> torch.Tensor:
        """Sum over the neighbours of each atom, and vector sum, [n_atoms, 4]."""
        dtype = self.weights.dtype
        weights = self.weights.index_select(0, self.pairs(data)) * self.envelope(data).to(dtype).unsqueeze(1)
        centre, n_atoms = data["edge_index"][0], data["atom_types"].shape[0]
        vectors = data["edge_vectors"].to(dtype) * weights[:, 1:]
        zeros = torch.zeros(n_atoms, 4, dtype=dtype, device=weights.device)
        return zeros.index_add(0, centre, torch.cat([weights[:, :1], vectors], dim=1))

    def forward(self, data: Graph) -> Graph:
        """Unscaled atomic energies, [n_atoms]."""
        sums = self.sums(data)
        return {"atomic_energy": torch.tanh(sums[:, 0]) + torch.tanh(sums[:, 1:].square().sum(1))}


@dataclasses.dataclass(frozen=True, kw_only=True)
class ToyModel(ModelBuilder):
    """A tiny equivariant model with four numbers for each pair of types."""

    per_edge_type_cutoff: dict[str, float | dict[str, float]] | None = None
    """Cutoff radii in Å by type of the centre, or by centre and neighbour; at most ``r_max``."""

    def build_energy(self, context: BuildContext) -> EnergyModule:
        """Make the energy module."""
        return ToyEnergy(context)


class ToyFeaturesEnergy(ToyEnergy):
    """The same energies, and the sums as features of atoms."""

    features = "1x0e+1x1o"

    def forward(self, data: Graph, *, features: bool = False) -> Graph:
        """Unscaled atomic energies, [n_atoms], and on request the sums."""
        sums = self.sums(data)
        found = {"atomic_energy": torch.tanh(sums[:, 0]) + torch.tanh(sums[:, 1:].square().sum(1))}
        return found | ({"node_features": sums} if features else {})


@dataclasses.dataclass(frozen=True, kw_only=True)
class ToyFeatures(ToyModel):
    """A tiny equivariant model with features of atoms: a scalar and a vector."""

    node_features = "a sum over neighbours, and a vector sum"

    def build_energy(self, context: BuildContext) -> EnergyModule:
        """Make the energy module."""
        return ToyFeaturesEnergy(context)


class ToyMessagesEnergy(ToyEnergy):
    """Two layers: the first layer's energies of neighbours change the second's edges."""

    locality = "hops(2)"

    def __init__(self, context: BuildContext) -> None:
        """Draw the weights.

        Args:
            context: Types, dtype and generator.
        """
        super().__init__(context)
        self.exchange = GhostExchange()

    def forward(self, data: Graph) -> Graph:
        """Unscaled atomic energies, [n_atoms]."""
        first = super().forward(data)["atomic_energy"]
        features = self.exchange(first.unsqueeze(1)).squeeze(1)
        centre, neighbour = data["edge_index"][0], data["edge_index"][1]
        edges = self.envelope(data).to(first.dtype) * features.index_select(0, neighbour)
        return {"atomic_energy": first + torch.tanh(torch.zeros_like(first).index_add(0, centre, edges))}


@dataclasses.dataclass(frozen=True, kw_only=True)
class ToyMessages(ToyModel):
    """A tiny message-passing model, which calls ``equipot.nn.exchange`` between its two layers."""

    def build_energy(self, context: BuildContext) -> EnergyModule:
        """Make the energy module."""
        return ToyMessagesEnergy(context)
