"""The modifier ``enable_FusedKernels``."""

from __future__ import annotations

import logging
import warnings
from typing import TYPE_CHECKING

from equipot.errors import ConfigError, problem
from equipot.nn.slots import KernelSlot, replace_slots
from equipot.nn.tensor_product import Convolution
from equipot_kernels import registry
from equipot_kernels.allegro import FusedContraction, fused_contraction
from equipot_kernels.convolution import FusedConvolution
from equipot_kernels.errors import KernelError

if TYPE_CHECKING:
    import torch

    from equipot.model import GraphModel

logger = logging.getLogger(__name__)


def enable_FusedKernels(model: GraphModel) -> GraphModel:  # noqa: N802 - the field's spelling
    """Compute the message passing, or the contraction of strictly local models, by compiled CPU kernels.

    Weights and results stay the same up to rounding. Kernels are compiled once for each kind of layer
    and kept on disk. Without a C++ compiler the model is returned as it is, with a warning.

    Args:
        model: A model whose layers use ``equipot.nn.tensor_product.Convolution`` or
            ``equipot.nn.contraction.Contraction``.

    Returns:
        The model on kernels, or the same model where it is already.

    Raises:
        ConfigError: If no layer of the model has kernels.
    """
    energy = replace_slots(model.energy, _fused)
    fused = [module for module in energy.modules() if isinstance(module, (FusedConvolution, FusedContraction))]
    if not fused:
        hint = "it works on models made of equipot.nn.tensor_product.Convolution or contraction.Contraction"
        raise ConfigError(problem("enable_FusedKernels", "no part of this model has kernels", hint=hint))
    if energy is model.energy:
        return model
    try:
        registry.build(units_of(fused, model))
    except KernelError as error:
        warnings.warn(f"enable_FusedKernels: the model stays without kernels: {error}", RuntimeWarning, stacklevel=2)
        return model
    return model.replace(energy=energy)


def _fused(slot: KernelSlot) -> torch.nn.Module | None:
    if isinstance(slot, FusedConvolution):
        return slot  # not looked into: its reference would be replaced
    return FusedConvolution(slot) if isinstance(slot, Convolution) else fused_contraction(slot)


def units_of(fused: list[FusedConvolution | FusedContraction], model: GraphModel) -> list[tuple[int, str]]:
    """What to build before the first step: forces at once, training when it begins."""
    import torch

    dtype: torch.dtype = getattr(torch, model.info.model_dtype)
    convolutions = [module for module in fused if isinstance(module, FusedConvolution)]
    units = [(module.handles[dtype], unit) for module in convolutions for unit in ("forward", "backward_xyw")]
    units += [(module.handles[dtype], "backward_yw") for module in convolutions[:1]]
    return [*units, *(unit for module in fused if isinstance(module, FusedContraction) for unit in module.units(dtype))]
