"""The hot composite of message passing: gather, tensor product, scatter, in one small module.

``Convolution`` is the reference in plain PyTorch. It exports, compiles and differentiates twice; a
kernel plugin may put a faster module with the same ``forward`` in its place.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from equipot.nn.clebsch_gordan import clebsch_gordan
from equipot.nn.irreps import FeatureLayout, Irrep, product_irreps

if TYPE_CHECKING:
    from collections.abc import Container


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
    """All couplings whose result is allowed: by feature block, then edge block, then l of the result."""
    return [
        Path(source, edge, irrep)
        for source, block in enumerate(layout_in.blocks)
        for edge, attribute in enumerate(layout_edge.blocks)
        for irrep in product_irreps(block.irrep, attribute.irrep)
        if irrep in allowed
    ]


class Convolution(torch.nn.Module):
    r"""Sum over neighbours of the weighted tensor product of their features with edge attributes.

    .. math::
        m_{i,k u}^{\text{path}} = \sum_j w_{ij,u}^{\text{path}} \sqrt{2l+1}
            \sum_{ab} C_{abk}\, x_{j,a u}\, Y_{b}(\hat r_{ij})

    with the Clebsch-Gordan tensor C of the path (norm 1), l the angular momentum of the result.
    Weights stand path by path in the order of ``paths``, each with the channels u of its feature
    block. Results of equal irrep are concatenated along the channels in the same order.

    For every feature block the edge attributes times C give one small matrix an edge, which one
    batched matrix product applies to all its channels.

    Args:
        layout_in: Irreps of the features.
        layout_edge: Irreps of the edge attributes, all of multiplicity 1.
        allowed: Irreps that the result may have.
        dtype: Data type of features and weights.
    """

    clebsch_gordan: torch.Tensor

    def __init__(
        self, layout_in: FeatureLayout, layout_edge: FeatureLayout, allowed: Container[Irrep], *, dtype: torch.dtype
    ) -> None:
        super().__init__()
        self.layout_in, self.layout_edge = layout_in, layout_edge
        self.paths = coupling_paths(layout_in, layout_edge, allowed)
        self.layout_out = FeatureLayout((layout_in.blocks[path.source].mul, path.irrep) for path in self.paths)
        self.num_weights = sum(layout_in.blocks[path.source].mul for path in self.paths)
        matrices = []
        for source in range(len(layout_in.blocks)):
            paths = self._paths_of(source)
            rows = [row for row, path in enumerate(paths) for _ in range(path.irrep.dim)]
            # Which weight each row of the message takes: a path's weight serves all its components.
            self.register_buffer(f"path_of_row_{source}", torch.tensor(rows, dtype=torch.int64), persistent=False)
            matrices.extend(self._coupling(path) for path in paths)
        coupling = torch.cat(matrices, dim=1).to(dtype)
        self.register_buffer("clebsch_gordan", coupling, persistent=False)

    def _paths_of(self, source: int) -> list[Path]:
        return [path for path in self.paths if path.source == source]

    def _coupling(self, path: Path) -> torch.Tensor:
        """√(2l+1)·C of a path as a matrix [edge attributes, (components out, components in)]."""
        block, attribute = self.layout_in.blocks[path.source], self.layout_edge.blocks[path.edge]
        tensor = clebsch_gordan(block.irrep.l, attribute.irrep.l, path.irrep.l) * math.sqrt(path.irrep.dim)
        matrix = torch.zeros(self.layout_edge.dim, path.irrep.dim * block.irrep.dim, dtype=torch.float64)
        rows = slice(attribute.start, attribute.start + attribute.size)
        matrix[rows] = tensor.permute(1, 2, 0).reshape(attribute.size, -1)
        return matrix

    def forward(
        self, features: torch.Tensor, edge_attributes: torch.Tensor, weights: torch.Tensor, edge_index: torch.Tensor
    ) -> torch.Tensor:
        """Aggregate messages.

        Args:
            features: Features of the atoms, shape [n_atoms, layout_in.dim].
            edge_attributes: Spherical harmonics of the edges, shape [n_edges, layout_edge.dim].
            weights: Weights of the paths, shape [n_edges, num_weights].
            edge_index: Centre and neighbour, shape [2, n_edges].

        Returns:
            Sums over the neighbours of each centre, shape [n_atoms, layout_out.dim].
        """
        centre, neighbour = edge_index[0], edge_index[1]
        matrices = edge_attributes @ self.clebsch_gordan
        gathered = features.index_select(0, neighbour)
        column = first_weight = 0
        sums: dict[int, torch.Tensor] = {}
        for source, block in enumerate(self.layout_in.blocks):
            path_of_row = self.get_buffer(f"path_of_row_{source}")
            n_paths, n_rows = len(self._paths_of(source)), path_of_row.shape[0]
            if n_paths == 0:
                continue
            size = n_rows * block.irrep.dim
            matrix = matrices[:, column : column + size].view(-1, n_rows, block.irrep.dim)
            x = self.layout_in.view(gathered, block)
            message = matrix * x if block.irrep.dim == 1 else torch.bmm(matrix, x)
            weight = weights[:, first_weight : first_weight + n_paths * block.mul].view(-1, n_paths, block.mul)
            message = message * weight.index_select(1, path_of_row)
            zeros = torch.zeros(
                features.shape[0], n_rows, block.mul, dtype=message.dtype, device=message.device
            )
            sums[source] = zeros.index_add(0, centre, message)
            column, first_weight = column + size, first_weight + n_paths * block.mul
        return self._arranged(sums)

    def _arranged(self, sums: dict[int, torch.Tensor]) -> torch.Tensor:
        """Bring rows of equal irrep together, their channels side by side."""
        by_irrep: dict[Irrep, list[torch.Tensor]] = {block.irrep: [] for block in self.layout_out.blocks}
        for source, rows in sums.items():
            start = 0
            for path in self._paths_of(source):
                by_irrep[path.irrep].append(rows[:, start : start + path.irrep.dim])
                start += path.irrep.dim
        return self.layout_out.join([torch.cat(parts, dim=2) for parts in by_irrep.values()])
