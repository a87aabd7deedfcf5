"""The most expensive part of strictly local models (Allegro): environment sum and tensor product.

``Contraction`` is the reference in plain PyTorch. It can be exported, compiled and differentiated twice; a
kernel plugin may replace it by a faster module with the same ``forward``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from equipot.nn.clebsch_gordan import clebsch_gordan
from equipot.nn.edges import Edges
from equipot.nn.init import uniform_parameter
from equipot.nn.irreps import FeatureLayout, product_irreps
from equipot.nn.slots import KernelSlot


@dataclass(frozen=True)
class ContractionPath:
    """One coupling of a block of the tensors with a block of the environment to a block of the result."""

    out: int
    """Index of the block of the result."""
    source: int
    """Index of the block of the tensors."""
    edge: int
    """Index of the block of the edge attributes, and of the environment."""


def contraction_paths(
    layout_in: FeatureLayout, layout_edge: FeatureLayout, layout_out: FeatureLayout
) -> list[ContractionPath]:
    """All couplings, ordered by block of the result, then of the tensors, then of the edge attributes."""
    return [
        ContractionPath(out, source, edge)
        for out, result in enumerate(layout_out.blocks)
        for source, block in enumerate(layout_in.blocks)
        for edge, attribute in enumerate(layout_edge.blocks)
        if result.irrep in product_irreps(block.irrep, attribute.irrep)
    ]


def contraction_coupling(
    layout_in: FeatureLayout, layout_edge: FeatureLayout, layout_out: FeatureLayout
) -> tuple[torch.Tensor, torch.Tensor]:
    """Clebsch-Gordan coefficients of all couplings, and the index of the coupling that each belongs to.

    The blocks of the three components determine the coupling, so each entry belongs to at most one.

    Args:
        layout_in: Irreps of the tensors, multiplicity 1.
        layout_edge: Irreps of the edge attributes, multiplicity 1.
        layout_out: Irreps of the result, multiplicity 1.

    Returns:
        √(2l+1)·C, float64, and indices into ``contraction_paths``, both of shape [dim_edge, dim_in, dim_out].
    """
    dims = (layout_edge.dim, layout_in.dim, layout_out.dim)
    coupling, path_of_entry = torch.zeros(dims, dtype=torch.float64), torch.zeros(dims, dtype=torch.int64)
    for index, path in enumerate(contraction_paths(layout_in, layout_edge, layout_out)):
        edge, source, out = layout_edge.blocks[path.edge], layout_in.blocks[path.source], layout_out.blocks[path.out]
        place = tuple(slice(block.start, block.start + block.size) for block in (edge, source, out))
        tensor = clebsch_gordan(source.irrep.l, edge.irrep.l, out.irrep.l) * math.sqrt(out.irrep.dim)
        coupling[place] = tensor.transpose(0, 1)
        path_of_entry[place] = index
    return coupling, path_of_entry


class Contraction(KernelSlot):
    r"""Tensor product of each edge's tensors with the weighted environment of its centre.

    .. math::
        A_{i,b u} &= n_i \sum_j w_{ij,l(b) u}\, Y_b(\hat r_{ij}) \\
        V'_{ij,k u} &= \sum_\text{paths} q_{p u} \sqrt{2l+1} \sum_{ab} C_{abk}\, V_{ij,a u}\, A_{i,b u}

    with the Clebsch-Gordan tensor C of the path (norm 1) and l the angular momentum of the result.
    The sum over paths and b is computed once per atom and gives a matrix for each channel, which all
    edges of the atom share. All irreps have the same number of channels u, which come last; the layouts
    contain each irrep once, with multiplicity 1.

    ``weights`` holds q, shape [n_paths, num_channels] or, shared by the channels, [n_paths, 1]; paths
    are in the order of ``paths``.

    Args:
        layout_in: Irreps of the tensors, multiplicity 1.
        layout_edge: Irreps of the edge attributes, multiplicity 1.
        layout_out: Irreps of the result, multiplicity 1; each must be reachable.
        num_channels: Number of channels.
        channel_weights: Whether each channel has its own path weights.
        from_weights: Whether the tensors are the edge attributes times weights of each block, V = w Y.
            ``forward`` then takes these weights, so that a kernel does not need to store the tensors.
        dtype: Data type of tensors and weights.
        generator: Source of the initial weights, uniform in (-√3, √3).

    Source: Musaelian et al. (2023), doi:10.1038/s41467-023-36329-y.
    """

    coupling: torch.Tensor
    path_of_entry: torch.Tensor
    block_of_component: torch.Tensor

    def __init__(
        self,
        layout_in: FeatureLayout,
        layout_edge: FeatureLayout,
        layout_out: FeatureLayout,
        *,
        num_channels: int,
        channel_weights: bool,
        from_weights: bool = False,
        dtype: torch.dtype,
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        self.layout_in, self.layout_edge, self.layout_out = layout_in, layout_edge, layout_out
        self.num_channels, self.channel_weights, self.from_weights = num_channels, channel_weights, from_weights
        self.paths = contraction_paths(layout_in, layout_edge, layout_out)
        shape = (len(self.paths), num_channels if channel_weights else 1)
        self.weights = uniform_parameter(shape, dtype, generator)
        coupling, path_of_entry = contraction_coupling(layout_in, layout_edge, layout_out)
        self.register_buffer("coupling", coupling.to(dtype), persistent=False)
        self.register_buffer("path_of_entry", path_of_entry.flatten(), persistent=False)
        dims = torch.tensor([block.irrep.dim for block in layout_edge.blocks])
        blocks = torch.repeat_interleave(torch.arange(len(dims)), dims)
        self.register_buffer("block_of_component", blocks, persistent=False)

    def forward(
        self, tensors: torch.Tensor, env_weights: torch.Tensor, edges: Edges, normalization: torch.Tensor
    ) -> torch.Tensor:
        """Sum the environments and multiply them with the tensors.

        Args:
            tensors: Tensors V of the edges, shape [n_edges, layout_in.dim, num_channels]; if ``from_weights``,
                their weights, shape [n_edges, n_blocks · num_channels], channels innermost.
            env_weights: Weights w of the environment sums, shape [n_edges, n_weights · num_channels],
                channels innermost; n_weights is the number of blocks of the edge attributes, or 1 if
                they share their weights.
            edges: Centres, ascending, and spherical harmonics [n_edges, layout_edge.dim].
            normalization: Factor n on the environment of each atom, shape [n_atoms, 1].

        Returns:
            Shape [n_edges, layout_out.dim, num_channels].
        """
        if self.from_weights:
            weights = tensors.unflatten(1, (-1, self.num_channels)).index_select(1, self.block_of_component)
            tensors = edges.attributes.unsqueeze(2) * weights
        matrices = self.matrices(self.environment(env_weights, edges, normalization))
        # All matrices of an atom are applied to the tensors of its edges, channel by channel.
        return (matrices.index_select(0, edges.centre) * tensors.unsqueeze(2)).sum(1)

    def environment(self, env_weights: torch.Tensor, edges: Edges, normalization: torch.Tensor) -> torch.Tensor:
        """Weighted sums A of the spherical harmonics, shape [n_atoms, layout_edge.dim, num_channels]."""
        weights = env_weights.unflatten(1, (-1, self.num_channels))
        if weights.shape[1] > 1:
            weights = weights.index_select(1, self.block_of_component)
        weighted = edges.attributes.unsqueeze(2) * weights
        shape = (normalization.shape[0], self.layout_edge.dim, self.num_channels)
        zeros = torch.zeros(shape, dtype=weighted.dtype, device=weighted.device)
        return zeros.index_add(0, edges.centre, weighted) * normalization.unsqueeze(2)

    def matrices(self, environment: torch.Tensor) -> torch.Tensor:
        """The matrices by which the environment of each atom multiplies the tensors of its edges.

        Args:
            environment: Shape [n_atoms, layout_edge.dim, num_channels].

        Returns:
            Shape [n_atoms, layout_in.dim, layout_out.dim, num_channels].
        """
        weights = self.weights.expand(-1, self.num_channels).t().index_select(1, self.path_of_entry)
        weights = weights.view(self.num_channels, self.layout_edge.dim, -1) * self.coupling.flatten(1)
        # One matrix product for each channel: [u, n_atoms, edge] times [u, edge, in · out].
        product = torch.bmm(environment.permute(2, 0, 1), weights)
        return product.permute(1, 2, 0).unflatten(1, (self.layout_in.dim, self.layout_out.dim))
