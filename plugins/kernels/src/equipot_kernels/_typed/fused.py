"""The linear map of each type with kernels, which replaces core's reference."""

from __future__ import annotations

from typing import Any

import torch

from equipot.nn.linear import PerTypeLinear
from equipot.nn.slots import KernelSlot
from equipot_kernels._build.fused import DTYPES, FusedModule
from equipot_kernels._typed.lists import SPEC as TYPE_LISTS
from equipot_kernels._typed.lists import type_lists
from equipot_kernels._typed.ops import typed_apply


class FusedPerTypeLinear(FusedModule[PerTypeLinear]):
    """Each atom's features times the matrices of its type alone.

    It is called like ``PerTypeLinear``. Tensors that are not on the CPU, or have a dtype without kernels, are passed
    to the reference. A model with one type has kernels too: it may get more, and then must round as before.

    Args:
        reference: The module to replace; its weights keep their names.
    """

    def __init__(self, reference: PerTypeLinear) -> None:
        super().__init__(reference, {dtype: _spec(reference, dtype) for dtype in DTYPES})

    def kernel_specs(self, dtype: torch.dtype) -> list[dict[str, Any]]:
        """Specs of the kernels that a model of this dtype calls."""
        return [TYPE_LISTS, self._specs[dtype]]

    def units(self, dtype: torch.dtype) -> list[tuple[int, str]]:
        """Handle and unit of each kernel that forces need."""
        return [(self.handles[dtype], "apply"), (self.handles[dtype], "transposed")]

    def forward(self, features: torch.Tensor, one_hot_types: torch.Tensor, embedding: torch.Tensor) -> torch.Tensor:
        """Mix the channels: features [n_atoms, layout_in.dim] to [n_atoms, layout_out.dim]."""
        handle = self.handles.get(features.dtype)
        if handle is None or features.device.type != "cpu" or one_hot_types.requires_grad:
            return self.reference(features, one_hot_types, embedding)
        types = one_hot_types.argmax(1) if one_hot_types.dim() == 2 else one_hot_types.to(torch.int64)
        matrices = self.reference.matrices(embedding)
        lists = type_lists(types, embedding.shape[0])
        result: torch.Tensor = typed_apply(matrices, features, *lists, handle)
        return result


def _spec(reference: PerTypeLinear, dtype: torch.dtype) -> dict[str, Any]:
    layouts = {"layout_in": str(reference.layout_in), "layout_out": str(reference.layout_out)}
    return {"family": "typed", "dtype": str(dtype).removeprefix("torch."), **layouts}


def fused_per_type_linear(slot: KernelSlot) -> torch.nn.Module | None:
    """The module with kernels for a linear map of types; None for other slots, and for maps without weights.

    Args:
        slot: Any slot.
    """
    return FusedPerTypeLinear(slot) if isinstance(slot, PerTypeLinear) and len(slot.weights) else None
