"""The energy module of the Allegro model: two-body part, tensor layers, readout of edge energies."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import torch

from equipot.model import EnergyModule, pair_index
from equipot.nn.contraction import Contraction
from equipot.nn.edges import Edges
from equipot.nn.irreps import FeatureLayout, Irrep, product_irreps
from equipot.nn.mlp import ScalarMLP
from equipot.nn.spherical import SphericalHarmonics

if TYPE_CHECKING:
    from equipot.graph import Graph
    from equipot_allegro._two_body import TwoBody


@dataclass(frozen=True, kw_only=True)
class NetworkOptions:
    """Hidden layers of one kind of network."""

    depth: int
    """Number of hidden layers."""
    width: int
    """Their width."""
    nonlinearity: str | None
    """Name in ``equipot.nn.mlp.NONLINEARITIES``."""

    def dims(self, first: int, last: int) -> tuple[int, ...]:
        """Widths of all layers of a network, given those of its input and output."""
        return (first, *[self.width] * self.depth, last)


@dataclass(frozen=True, kw_only=True)
class LayerOptions:
    """Options that all layers share."""

    num_scalars: int
    """Number of scalar features of an edge."""
    num_channels: int
    """Number of channels of its tensors."""
    num_env_weights: int
    """Number of weights in an environment sum: channels, times irreps unless the irreps share weights."""
    channel_weights: bool
    """Whether each channel has its own path weights."""
    latent: NetworkOptions
    """The networks that update the scalars."""
    readout: NetworkOptions
    """The network to the edge energy."""
    init: Literal["forward", "backward"]
    """Scaling of the initial weights."""
    dtype: torch.dtype
    """Data type of weights and features."""
    generator: torch.Generator
    """Source of the initial weights."""


def tensor_layouts(layout_edge: FeatureLayout, allowed: FeatureLayout, num_layers: int) -> list[FeatureLayout]:
    """Irreps of the tensors before the first and after each layer.

    After each layer there are the allowed irreps that it can produce, and after the last layer scalars.
    Irreps that cannot contribute to the last layer's scalars are then left out.

    Args:
        layout_edge: Irreps of the spherical harmonics, and of the first tensors.
        allowed: Irreps that tensors may have between layers.
        num_layers: Number of layers, at least 1.

    Returns:
        ``num_layers + 1`` layouts, each irrep with multiplicity 1.
    """
    layouts = [layout_edge]
    for layer in range(num_layers):
        candidates = allowed if layer < num_layers - 1 else FeatureLayout([(1, Irrep(0, 1))])
        layouts.append(_having(candidates, lambda irrep, before=layouts[-1]: _couples(before, layout_edge, irrep)))
    for layer in reversed(range(num_layers)):
        after = layouts[layer + 1]
        layouts[layer] = _having(
            layouts[layer],
            lambda irrep, after=after: any(
                _couples(FeatureLayout([(1, irrep)]), layout_edge, block.irrep) for block in after.blocks
            ),
        )
    return layouts


def _having(layout: FeatureLayout, condition: Any) -> FeatureLayout:
    return FeatureLayout((block.mul, block.irrep) for block in layout.blocks if condition(block.irrep))


def _couples(first: FeatureLayout, second: FeatureLayout, irrep: Irrep) -> bool:
    """Whether the product of two layouts contains the irrep."""
    return any(irrep in product_irreps(a.irrep, b.irrep) for a in first.blocks for b in second.blocks)


class AllegroLayer(torch.nn.Module):
    """Multiply tensors by the environment of their centre; their scalars then update the scalar features.

    Args:
        layouts: Irreps of the tensors before and after.
        layout_edge: Irreps of the spherical harmonics.
        num_scalars_in: Number of scalar features from the layers before.
        first: Whether its tensors are the edge attributes times weights.
        last: Whether it is the last layer, which needs no weights for a next one.
        options: Options that all layers share.
    """

    def __init__(
        self,
        layouts: tuple[FeatureLayout, FeatureLayout],
        layout_edge: FeatureLayout,
        *,
        num_scalars_in: int,
        first: bool,
        last: bool,
        options: LayerOptions,
    ) -> None:
        super().__init__()
        random: dict[str, Any] = {"dtype": options.dtype, "generator": options.generator}
        self.contraction = Contraction(
            layouts[0],
            layout_edge,
            layouts[1],
            num_channels=options.num_channels,
            channel_weights=options.channel_weights,
            from_weights=first,
            **random,
        )
        self.num_scalars = options.num_scalars
        self.latent = ScalarMLP(
            options.latent.dims(
                num_scalars_in + options.num_channels, options.num_scalars + (0 if last else options.num_env_weights)
            ),
            nonlinearity=options.latent.nonlinearity,
            init=options.init,
            **random,
        )

    def forward(
        self,
        scalars: list[torch.Tensor],
        tensors: torch.Tensor,
        env_weights: torch.Tensor,
        edges: Edges,
        normalization: torch.Tensor,
    ) -> tuple[list[torch.Tensor], torch.Tensor, torch.Tensor]:
        """Compute the new scalars and tensors of all edges.

        Args:
            scalars: Scalar features of each layer so far, concatenated [n_edges, num_scalars_in].
            tensors: Shape [n_edges, dim before, num_channels]; in the first layer, the weights that
                multiply the edge attributes, as in ``Contraction``.
            env_weights: Weights of the environment sum, shape [n_edges, num_env_weights].
            edges: The edges of the call, with their spherical harmonics.
            normalization: 1/√(average number of neighbours of the atom's type), shape [n_atoms, 1].

        Returns:
            The scalar features, with those of this layer appended; the tensors [n_edges, dim after,
            num_channels]; and the weights of the next environment sum.
        """
        tensors = self.contraction(tensors, env_weights, edges, normalization)
        # The first component is the invariant one, 0e.
        latent = self.latent(*scalars, tensors[:, 0])
        new, env_weights = latent.split([self.num_scalars, latent.shape[1] - self.num_scalars], dim=1)
        return [*scalars, new], tensors, env_weights


class AllegroEnergy(EnergyModule):
    """Unscaled atomic energies as sums of edge energies, from strictly local tensors of edges.

    Args:
        num_types: Number of atom types.
        spherical: Spherical harmonics of the edges.
        two_body: Scalars and weights of an edge from its length and types.
        layouts: Irreps of the tensors before the first and after each layer.
        options: Options that all layers share.
        avg_num_neighbors: Average number of neighbours of an atom of each type, shape [num_types].

    Source: Musaelian et al. (2023), doi:10.1038/s41467-023-36329-y.
    """

    requires = ("edge_vectors", "edge_lengths", "normalized_edge_lengths", "edge_index", "atom_types")
    has_last_layer_features = True
    normalization: torch.Tensor

    def __init__(
        self,
        num_types: int,
        *,
        spherical: SphericalHarmonics,
        two_body: TwoBody,
        layouts: list[FeatureLayout],
        options: LayerOptions,
        avg_num_neighbors: torch.Tensor,
    ) -> None:
        super().__init__()
        self.locality = "strict"
        self.num_types, self.num_channels = num_types, options.num_channels
        self.spherical, self.two_body, self.two_body_sizes = spherical, two_body, two_body.sizes
        self.register_buffer("normalization", avg_num_neighbors.rsqrt().to(options.dtype), persistent=False)
        self.layers = torch.nn.ModuleList()
        num_scalars = options.num_scalars
        for index, pair in enumerate(itertools.pairwise(layouts)):
            ends = {"first": index == 0, "last": index == len(layouts) - 2}
            layer = AllegroLayer(pair, spherical.layout, num_scalars_in=num_scalars, options=options, **ends)
            self.layers.append(layer)
            num_scalars += options.num_scalars
        self.features = str(
            FeatureLayout(
                [(options.num_scalars, Irrep(0, 1)), *((options.num_channels, one.irrep) for one in layouts[-2].blocks)]
            )
        )
        self.readout = ScalarMLP(
            options.readout.dims(num_scalars, 1),
            nonlinearity=options.readout.nonlinearity,
            init=options.init,
            dtype=options.dtype,
            generator=options.generator,
        )

    def forward(self, data: Graph, *, features: bool = False) -> Graph:
        """Compute unscaled atomic energies [n_atoms].

        Features are sums over the edges of an atom: of the scalars of the last layer, and of the tensors that it
        multiplied, since its own are scalars only.
        """
        atom_types, dtype = data["atom_types"], self.normalization.dtype
        directions = data["edge_vectors"] / data["edge_lengths"].unsqueeze(1)
        index = data["edge_index"]
        types = atom_types.index_select(0, index[0]), atom_types.index_select(0, index[1])
        edges = Edges(
            index,
            data["normalized_edge_lengths"],
            self.spherical(directions).to(dtype),
            pair_index(*types, self.num_types),
        )
        normalization = self.normalization.index_select(0, atom_types).unsqueeze(1)
        # The first tensors are the attributes times weights; the first layer receives these weights.
        first, env_weights, tensors = self.two_body(edges).split(self.two_body_sizes, dim=1)
        scalars = [first]
        before = tensors
        for layer in self.layers:
            before = tensors
            scalars, tensors, env_weights = layer(scalars, tensors, env_weights, edges, normalization)
        edge_energy = self.readout(*scalars)
        zeros = torch.zeros(normalization.shape, dtype=dtype, device=edge_energy.device)
        # Each pair of atoms has an edge in both directions, hence the √2.
        atomic_energy = zeros.index_add(0, edges.centre, edge_energy) * normalization / math.sqrt(2.0)
        found = {"atomic_energy": atomic_energy.squeeze(1)}
        if features:
            if len(self.layers) == 1:
                before = self._first_tensors(before, edges)
            of_edges = torch.cat([scalars[-1], before.flatten(1)], dim=1)
            found["node_features"] = _sums(of_edges, edges, normalization)
            halved = normalization / math.sqrt(2.0)
            found["last_layer_features"] = _sums(self.readout.last_inputs(*scalars), edges, halved)
        return found

    def _first_tensors(self, weights: torch.Tensor, edges: Edges) -> torch.Tensor:
        """What the first layer multiplies: the attributes times weights, shape [n_edges, dim, num_channels]."""
        by_block = weights.unflatten(1, (-1, self.num_channels)).split(1, dim=1)
        blocks = zip(by_block, self.spherical.layout.blocks, strict=True)
        repeated = torch.cat([one.expand(-1, block.irrep.dim, -1) for one, block in blocks], dim=1)
        return edges.attributes.unsqueeze(2) * repeated

    def last_layer(self) -> torch.nn.Parameter:
        """The last weights of the readout, which has no bias."""
        return self.readout.last_weights


def _sums(of_edges: torch.Tensor, edges: Edges, normalization: torch.Tensor) -> torch.Tensor:
    """Sums over the edges of each atom, times its normalization; shape [n_atoms, n]."""
    zeros = torch.zeros(normalization.shape[0], of_edges.shape[1], dtype=of_edges.dtype, device=of_edges.device)
    return zeros.index_add(0, edges.centre, of_edges) * normalization
