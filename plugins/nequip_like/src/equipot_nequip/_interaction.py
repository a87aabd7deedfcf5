"""One message-passing layer: linear, convolution, linear, self-connection, gate."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from equipot.nn.exchange import GhostExchange
from equipot.nn.gate import Gate
from equipot.nn.irreps import FeatureLayout, product_irreps
from equipot.nn.linear import IrrepsLinear, PerTypeLinear
from equipot.nn.radial_function import RadialNetwork
from equipot.nn.tensor_product import Convolution

if TYPE_CHECKING:
    from equipot.nn.edges import Edges
    from equipot.nn.radial import RadialEmbedding


@dataclass(frozen=True, kw_only=True)
class LayerOptions:
    """Options that all layers of a model share."""

    layout_edge: FeatureLayout
    """Irreps of the spherical harmonics."""
    embedding_dim: int
    """Width of the type embedding."""
    radial: RadialEmbedding
    """Radial embedding of the edges, owned by the energy module."""
    radial_dims: tuple[int, ...]
    """Widths of the radial network: input and hidden layers."""
    dtype: torch.dtype
    """Data type of weights and features."""
    generator: torch.Generator
    """Source of the initial weights."""


def reachable(layout_in: FeatureLayout, layout_edge: FeatureLayout, wanted: FeatureLayout) -> FeatureLayout:
    """The wanted irreps that occur in the product of the features and the spherical harmonics."""
    products = {
        irrep
        for block in layout_in.blocks
        for attribute in layout_edge.blocks
        for irrep in product_irreps(block.irrep, attribute.irrep)
    }
    return FeatureLayout((block.mul, block.irrep) for block in wanted.blocks if block.irrep in products)


class InteractionLayer(torch.nn.Module):
    r"""Update of all atoms' features from their neighbours.

    .. math::
        h_i' = \text{Gate}\Big(\text{Linear}_2 \sum_j \text{TP}\big(\text{Linear}_1(h_j) / \sqrt{\bar N_{t_j}},
            Y(\hat r_{ij}); \text{MLP}(b(r_{ij}))\big) + \text{Linear}_{t_i}(h_i)\Big)

    The first layer has no self-connection (the last term), so that the features of an atom without
    neighbours stay exactly zero.

    Args:
        layout_in: Irreps of the features.
        wanted: Irreps of the result; those that the product cannot contain are left out.
        options: Options that all layers share.
        self_connection: Whether an atom's own features contribute. The same layers may receive features
            from other processes, so they pass through the exchange of ghost atoms.
    """

    def __init__(
        self, layout_in: FeatureLayout, wanted: FeatureLayout, options: LayerOptions, *, self_connection: bool
    ) -> None:
        super().__init__()
        random: dict[str, Any] = {"dtype": options.dtype, "generator": options.generator}
        self.layout_in = layout_in
        self.layout_out = reachable(layout_in, options.layout_edge, wanted)
        self.gate = Gate(self.layout_out)
        target = self.gate.layout_in
        self.linear_1 = IrrepsLinear(layout_in, layout_in, **random)
        self.exchange = GhostExchange() if self_connection else None
        self.convolution = Convolution(layout_in, options.layout_edge, target, dtype=options.dtype)
        self.radial_mlp = RadialNetwork(options.radial, (*options.radial_dims, self.convolution.num_weights), **random)
        self.linear_2 = IrrepsLinear(self.convolution.layout_out, target, **random)
        self.self_connection = (
            PerTypeLinear(layout_in, target, embedding_dim=options.embedding_dim, **random) if self_connection else None
        )

    def forward(
        self,
        features: torch.Tensor,
        normalization: torch.Tensor,
        types: tuple[torch.Tensor, torch.Tensor],
        edges: Edges,
    ) -> torch.Tensor:
        """Compute the new features of all atoms.

        Args:
            features: Shape [n_atoms, layout_in.dim].
            normalization: 1/√(average number of neighbours of the atom's type), shape [n_atoms, 1].
            types: Types of the atoms [n_atoms] and the table of the type embedding.
            edges: The edges of the call, with their spherical harmonics.

        Returns:
            Shape [n_atoms, layout_out.dim].
        """
        sent = self.linear_1(features) * normalization
        if self.exchange is not None:
            sent = self.exchange(sent)
        received = self.linear_2(self.convolution(sent, self.radial_mlp, edges))
        if self.self_connection is not None:
            received = received + self.self_connection(features, *types)
        return self.gate(received)
