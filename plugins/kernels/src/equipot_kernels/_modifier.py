"""The modifier ``enable_FusedKernels``."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import torch

from equipot.errors import ConfigError, problem
from equipot.nn.slots import KernelSlot, replace_slots
from equipot.nn.tensor_product import Convolution
from equipot_kernels._build.errors import KernelError
from equipot_kernels._contraction.fused import FusedContraction, fused_contraction
from equipot_kernels._convolution.fused import FusedConvolution
from equipot_kernels._prebuild import prebuild
from equipot_kernels._spline.radial import SplineRadial

if TYPE_CHECKING:
    from equipot.model import GraphModel

_FUSED = (FusedConvolution, FusedContraction)


def enable_FusedKernels(model: GraphModel) -> GraphModel:  # noqa: N802 - the field's spelling
    """Compute the message passing and contractions of a model with compiled CPU kernels.

    Weights stay the same, and results too up to rounding. Kernels are compiled once for each kind of
    layer and cached on disk. Without a C++ compiler the model is returned unchanged, with a warning.

    Args:
        model: A model whose layers use ``equipot.nn.tensor_product.Convolution`` or
            ``equipot.nn.contraction.Contraction``.

    Returns:
        The model with kernels, or the same model if it uses them already.

    Raises:
        ConfigError: If no layer of the model has kernels.
    """
    energy = replace_slots(model.energy, _fused)
    if not any(isinstance(module, _FUSED) for module in energy.modules()):
        hint = "the model must use equipot.nn.tensor_product.Convolution or equipot.nn.contraction.Contraction"
        raise ConfigError(problem("enable_FusedKernels", "no part of this model has kernels", hint=hint))
    if energy is model.energy:
        return model
    dtype: torch.dtype = getattr(torch, model.info.model_dtype)
    try:
        prebuild(energy, dtype)
    except KernelError as error:
        warnings.warn(f"enable_FusedKernels: the model stays without kernels: {error}", RuntimeWarning, stacklevel=2)
        return model
    return model.replace(energy=energy)


def _fused(slot: KernelSlot) -> torch.nn.Module | None:
    if isinstance(slot, _FUSED):
        return slot
    if isinstance(slot, SplineRadial):
        return slot if slot.on_kernels else SplineRadial(slot.source, slot.num_knots, on_kernels=True)
    return FusedConvolution(slot) if isinstance(slot, Convolution) else fused_contraction(slot)
