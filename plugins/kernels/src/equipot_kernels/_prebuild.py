"""Build all the kernels of a model in parallel before its first step."""

from __future__ import annotations

import torch

from equipot_kernels._build import registry
from equipot_kernels._contraction.fused import FusedContraction
from equipot_kernels._convolution.fused import FusedConvolution
from equipot_kernels._spline.radial import SplineRadial
from equipot_kernels._typed.fused import FusedPerTypeLinear


def prebuild(energy: torch.nn.Module, dtype: torch.dtype) -> None:
    """Build the kernels that energy and forces need; those for training are built when it begins.

    Args:
        energy: An energy module, with or without modules that use kernels.
        dtype: Data type of its features.

    Raises:
        KernelError: If a kernel cannot be built.
    """
    tables = any(isinstance(module, SplineRadial) for module in energy.modules())
    units: list[tuple[int, str]] = []
    for module in energy.modules():
        if isinstance(module, FusedConvolution):
            units += module.units(dtype, tables=tables)
        elif isinstance(module, (FusedContraction, FusedPerTypeLinear)):
            units += module.units(dtype)
    registry.build(units)
