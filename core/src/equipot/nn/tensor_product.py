"""The most expensive part of message passing, in one module: gather, tensor product and scatter.

``Convolution`` is the reference in plain PyTorch. It can be exported, compiled and differentiated twice; a
kernel plugin may replace it by a faster module with the same ``forward``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Container
from dataclasses import dataclass
from typing import Any

import torch

from equipot.nn.clebsch_gordan import clebsch_gordan
from equipot.nn.edges import Edges
from equipot.nn.irreps import Block, FeatureLayout, Irrep, product_irreps
from equipot.nn.slots import KernelSlot


@dataclass(frozen=True)
class Path:
    """One coupling of an irrep of the features with one of the edges to an irrep of the message."""

    source: int
    """Index of the feature block."""
    edge: int
    """Index of the block of the edge attributes."""
    irrep: Irrep
    """Irrep of the message; its multiplicity is that of the feature block."""


def coupling_paths(layout_in: FeatureLayout, layout_edge: FeatureLayout, allowed: Container[Irrep]) -> list[Path]:
    """All couplings to allowed irreps, ordered by feature block, then edge block, then l of the result."""
    return [
        Path(source, edge, irrep)
        for source, block in enumerate(layout_in.blocks)
        for edge, attribute in enumerate(layout_edge.blocks)
        for irrep in product_irreps(block.irrep, attribute.irrep)
        if irrep in allowed
    ]


class Convolution(KernelSlot):
    r"""Sum over neighbours of the weighted tensor product of their features with edge attributes.

    .. math::
        m_{i,k u}^{\text{path}} = \sum_j w_{ij,u}^{\text{path}} \sqrt{2l+1}
            \sum_{ab} C_{abk}\, x_{j,a u}\, Y_{b}(\hat r_{ij})

    with the Clebsch-Gordan tensor C of the path (norm 1), l the angular momentum of the result.
    Weights are stored path by path in the order of ``paths``, each with the channels u of its feature
    block. Results of equal irrep are concatenated along the channels in the same order.

    Args:
        layout_in: Irreps of the features.
        layout_edge: Irreps of the edge attributes, all of multiplicity 1.
        allowed: Irreps that the result may have.
        dtype: Data type of features and weights.
    """

    def __init__(
        self, layout_in: FeatureLayout, layout_edge: FeatureLayout, allowed: Container[Irrep], *, dtype: torch.dtype
    ) -> None:
        super().__init__()
        self.layout_in, self.layout_edge = layout_in, layout_edge
        self.paths = coupling_paths(layout_in, layout_edge, allowed)
        self.layout_out = FeatureLayout((layout_in.blocks[path.source].mul, path.irrep) for path in self.paths)
        by_source: dict[int, list[Path]] = {}
        for path in self.paths:
            by_source.setdefault(path.source, []).append(path)
        self.parts = torch.nn.ModuleList(
            _BlockConvolution(layout_in.blocks[source], layout_edge, paths, dtype)
            for source, paths in by_source.items()
        )
        self._weights_of_part = [len(paths) * layout_in.blocks[source].mul for source, paths in by_source.items()]
        self.num_weights = sum(self._weights_of_part)

    def forward(self, features: torch.Tensor, radial: Callable[[Edges], torch.Tensor], edges: Edges) -> torch.Tensor:
        """Aggregate messages.

        Args:
            features: Features of the atoms, shape [n_atoms, layout_in.dim].
            radial: Gives the weights of the paths, shape [n_edges, num_weights]; usually a
                ``RadialFunction``. It is called here, so that one kernel can compute both.
            edges: Centres, neighbours and spherical harmonics [n_edges, layout_edge.dim].

        Returns:
            Sums over the neighbours of each centre, shape [n_atoms, layout_out.dim].
        """
        weights = radial(edges)
        by_irrep: dict[Irrep, list[torch.Tensor]] = {block.irrep: [] for block in self.layout_out.blocks}
        part: Any
        for part, weight in zip(self.parts, weights.split(self._weights_of_part, dim=1), strict=True):
            x = self.layout_in.view(features, part.block)
            rows = part(x, edges.attributes, weight, edges.index).split(part.dims, dim=1)
            for irrep, values in zip(part.irreps, rows, strict=True):
                by_irrep[irrep].append(values)
        return self.layout_out.join([torch.cat(values, dim=2) for values in by_irrep.values()])


class _BlockConvolution(torch.nn.Module):
    """The part of a convolution that starts from one block of features.

    The edge attributes times the Clebsch-Gordan tensors give a small matrix for each edge. One batched
    product applies it to all channels, instead of a sum over components for each path.
    """

    coupling: torch.Tensor
    path_of_row: torch.Tensor

    def __init__(self, block: Block, layout_edge: FeatureLayout, paths: list[Path], dtype: torch.dtype) -> None:
        super().__init__()
        self.block = block
        self.irreps = [path.irrep for path in paths]
        self.dims = [irrep.dim for irrep in self.irreps]
        coupling = torch.cat([_coupling(path, block, layout_edge) for path in paths], dim=1).to(dtype)
        # The weight of a path applies to all components (rows) of its result.
        path_of_row = torch.repeat_interleave(torch.arange(len(paths)), torch.tensor(self.dims))
        self.register_buffer("coupling", coupling, persistent=False)
        self.register_buffer("path_of_row", path_of_row, persistent=False)

    def forward(
        self, x: torch.Tensor, edge_attributes: torch.Tensor, weights: torch.Tensor, edge_index: torch.Tensor
    ) -> torch.Tensor:
        """The stacked rows of all paths, shape [n_atoms, rows, mul], for x [n_atoms, 2l+1, mul]."""
        n_rows, dim = self.path_of_row.shape[0], self.block.irrep.dim
        gathered = x.index_select(0, edge_index[1])
        matrix = (edge_attributes @ self.coupling).view(-1, n_rows, dim)
        weights = weights.unflatten(1, (len(self.dims), self.block.mul))
        if dim == 1:
            message = matrix * (weights * gathered).index_select(1, self.path_of_row)
        else:
            message = torch.bmm(matrix, gathered) * weights.index_select(1, self.path_of_row)
        zeros = torch.zeros(x.shape[0], n_rows, self.block.mul, dtype=message.dtype, device=message.device)
        return zeros.index_add(0, edge_index[0], message)


def _coupling(path: Path, block: Block, layout_edge: FeatureLayout) -> torch.Tensor:
    """√(2l+1)·C of a path as a matrix [edge attributes, components out · components in], float64."""
    attribute = layout_edge.blocks[path.edge]
    tensor = clebsch_gordan(block.irrep.l, attribute.irrep.l, path.irrep.l) * math.sqrt(path.irrep.dim)
    matrix = torch.zeros(layout_edge.dim, path.irrep.dim * block.irrep.dim, dtype=torch.float64)
    matrix[attribute.start : attribute.start + attribute.size] = tensor.permute(1, 2, 0).reshape(attribute.size, -1)
    return matrix
