"""The convolution with kernels, which replaces core's reference."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from equipot_kernels._build.fused import DTYPES, FusedModule
from equipot_kernels._convolution.ops import conv_forward
from equipot_kernels._convolution.plan import spec_of_convolution
from equipot_kernels._convolution.table_ops import table_forward
from equipot_kernels._edge_lists import SPEC as EDGE_LISTS
from equipot_kernels._edge_lists import edge_lists
from equipot_kernels._spline.radial import SplineRadial

if TYPE_CHECKING:
    from collections.abc import Callable

    from equipot.nn.edges import Edges
    from equipot.nn.tensor_product import Convolution


class FusedConvolution(FusedModule["Convolution"]):
    """Gather, tensor product and sum over neighbours in one pass over the edges.

    It is called like ``Convolution``. Weights that come from a ``SplineRadial`` are interpolated in the same
    pass. Tensors that are not on the CPU, or have a dtype without kernels, are passed to the reference.

    Args:
        reference: The module to replace.
    """

    def __init__(self, reference: Convolution) -> None:
        super().__init__(reference, {dtype: spec_of_convolution(reference, dtype) for dtype in DTYPES})
        self.layout_in, self.layout_edge = reference.layout_in, reference.layout_edge
        self.layout_out, self.num_weights = reference.layout_out, reference.num_weights

    def units(self, dtype: torch.dtype, *, tables: bool = False) -> list[tuple[int, str]]:
        """Handle and unit of each kernel that forces need.

        Args:
            dtype: Data type of the features.
            tables: Whether the weights come from tables.
        """
        names = ["table_forward", "table_backward_xyr", "table_backward_yr"]
        names = names if tables else ["forward", "backward_xyw", "backward_yw"]
        return [(self.handles[dtype], name) for name in names]

    def kernel_specs(self, dtype: torch.dtype) -> list[dict[str, Any]]:
        """Specs of the kernels that a model of this dtype calls."""
        return [EDGE_LISTS, self._specs[dtype]]

    def forward(self, features: torch.Tensor, radial: Callable[[Edges], torch.Tensor], edges: Edges) -> torch.Tensor:
        """Aggregate messages: features [n_atoms, layout_in.dim] to [n_atoms, layout_out.dim]."""
        handle = self.handles.get(features.dtype)
        if handle is None or features.device.type != "cpu":
            return self.reference(features, radial, edges)
        lists = edge_lists(edges, features.shape[0])
        if isinstance(radial, SplineRadial) and radial.tabulates(edges):
            row, place = radial.locate(edges)
            table = radial.table(edges).flatten(0, 1)
            rest = (row, edges.index, *lists, radial.num_knots, handle)
            result: torch.Tensor = table_forward(features, edges.attributes, place, table, *rest)
            return result
        return conv_forward(features, edges.attributes, radial(edges), edges.index, *lists, handle)
