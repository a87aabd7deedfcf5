"""The contraction of strictly local models with kernels, which replaces core's reference."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from equipot.nn.contraction import Contraction
from equipot.nn.slots import KernelSlot
from equipot_kernels._build.fused import DTYPES, FusedModule
from equipot_kernels._contraction.contraction_ops import al_mv
from equipot_kernels._contraction.coupling_family import LAYOUTS
from equipot_kernels._contraction.coupling_ops import cg_matrices
from equipot_kernels._contraction.environment_ops import env_sum
from equipot_kernels._contraction.initial_ops import init_apply
from equipot_kernels._edge_lists import SPEC as EDGE_LISTS
from equipot_kernels._edge_lists import edge_lists

if TYPE_CHECKING:
    from equipot.nn.edges import Edges


class FusedContraction(FusedModule[Contraction]):
    """Environment sum, one matrix per atom, and its product with the tensors of the atom's edges.

    It is called like ``Contraction``. Tensors that are not on the CPU, or have a dtype without kernels, are
    passed to the reference.

    Args:
        reference: The module to replace; its weights keep their name.
    """

    weights: torch.Tensor

    def __init__(self, reference: Contraction) -> None:
        super().__init__(reference, {dtype: _specs(reference, dtype) for dtype in DTYPES})

    def kernel_specs(self, dtype: torch.dtype) -> list[dict[str, Any]]:
        """Specs of the kernels that a model of this dtype calls."""
        return [EDGE_LISTS, *self._specs[dtype]]

    def units(self, dtype: torch.dtype) -> list[tuple[int, str]]:
        """Handle and unit of each kernel that forces need."""
        product, environment, _, coupling = self.handles[dtype]
        names = ("apply", "outer", "backward") if self.reference.from_weights else ("apply", "outer", "transposed")
        of_environment = ((environment, unit) for unit in ("sum", "weights", "attributes"))
        of_coupling = ((coupling, unit) for unit in ("matrices", "environment"))
        return [*((product, unit) for unit in names), *of_environment, *of_coupling]

    def forward(
        self, tensors: torch.Tensor, env_weights: torch.Tensor, edges: Edges, normalization: torch.Tensor
    ) -> torch.Tensor:
        """Sum the environments and multiply: tensors, or their weights, to [n_edges, dim_out, u]."""
        handles = self.handles.get(tensors.dtype)
        if handles is None or tensors.device.type != "cpu":
            return self.reference(tensors, env_weights, edges, normalization)
        ptr = edge_lists(edges, normalization.shape[0])[0]
        environment = env_sum(edges.attributes, env_weights, ptr, handles[_env(env_weights, self.reference)])
        weights = self.weights.expand(-1, self.reference.num_channels)
        matrices = cg_matrices(weights, environment * normalization.unsqueeze(2), handles[3])
        result: torch.Tensor
        if self.reference.from_weights:
            result = init_apply(matrices, edges.attributes, tensors, ptr, handles[0])
        else:
            result = al_mv(matrices, tensors, ptr, handles[0])
        return result


def _env(env_weights: torch.Tensor, reference: Contraction) -> int:
    """Index of the environment's handle: weights for each irrep of the attributes (1), or one for all irreps (2)."""
    return 1 if env_weights.shape[1] > reference.num_channels else 2


def _specs(reference: Contraction, dtype: torch.dtype) -> list[dict[str, Any]]:
    """Specs of the product, the sums with weights per irrep, the sums with shared weights, and the matrices."""
    shared = {"dtype": str(dtype).removeprefix("torch."), "channels": reference.num_channels}
    dims, dim_out = [block.size for block in reference.layout_edge.blocks], reference.layout_out.dim
    product = {"family": "contraction", "dim_in": reference.layout_in.dim, "dim_out": dim_out, **shared}
    if reference.from_weights:
        product = {"family": "initial", "blocks": dims, "dim_out": dim_out, **shared}
    sums = [{"family": "environment", "blocks": blocks, **shared} for blocks in (dims, [sum(dims)])]
    layouts = {name: str(getattr(reference, name)) for name in LAYOUTS}
    return [product, *sums, {"family": "coupling", **layouts, **shared}]


def fused_contraction(slot: KernelSlot) -> torch.nn.Module | None:
    """The module with kernels for a contraction; None for other slots.

    Args:
        slot: Any slot.
    """
    return FusedContraction(slot) if isinstance(slot, Contraction) else None
