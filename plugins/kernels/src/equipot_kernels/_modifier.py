"""The modifier ``enable_FusedKernels``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from equipot.errors import ConfigError, UnavailableError, problem
from equipot.nn.radial_function import RadialNetwork
from equipot.nn.slots import KernelSlot, replace_slots
from equipot.nn.tensor_product import Convolution
from equipot_kernels._build.errors import KernelError
from equipot_kernels._contraction.fused import FusedContraction, fused_contraction
from equipot_kernels._convolution.fused import FusedConvolution
from equipot_kernels._edge_pairs import PairedRadial
from equipot_kernels._prebuild import prebuild
from equipot_kernels._program.evaluator import ProgramEvaluator
from equipot_kernels._spline.radial import SplineRadial
from equipot_kernels._typed.fused import FusedPerTypeLinear, fused_per_type_linear

if TYPE_CHECKING:
    from equipot.model import GraphModel

_FUSED = (FusedConvolution, FusedContraction, FusedPerTypeLinear)


def enable_FusedKernels(model: GraphModel, *, programs: bool = True) -> GraphModel:  # noqa: N802 - the field's spelling
    """Compute the message passing, contractions and linear maps of types of a model with compiled CPU kernels.

    Weights stay the same, and results too up to rounding. Kernels are compiled once for each kind of
    layer and cached on disk. With programs, everything between the kernels runs without PyTorch too.

    Args:
        model: A model whose layers use ``equipot.nn.tensor_product.Convolution``,
            ``equipot.nn.contraction.Contraction`` or ``equipot.nn.linear.PerTypeLinear``.
        programs: Compute the whole model, and in training its gradients, by one program where it pays.

    Returns:
        The model with kernels, or the same model if it uses them already.

    Raises:
        ConfigError: If no layer of the model has kernels.
        UnavailableError: Without a C++ compiler.
    """
    energy = replace_slots(model.energy, kernel_of)
    if programs and _is_symmetric(model):
        energy = replace_slots(energy, _paired)
    if not any(isinstance(module, _FUSED) for module in energy.modules()):
        hint = "the model must use Convolution, Contraction or PerTypeLinear of equipot.nn"
        raise ConfigError(problem("enable_FusedKernels", "no part of this model has kernels", hint=hint))
    has_programs = isinstance(model.evaluator, ProgramEvaluator)
    if energy is model.energy and has_programs == programs:
        return model
    dtype: torch.dtype = getattr(torch, model.info.model_dtype)
    try:
        prebuild(energy, dtype)
    except KernelError as error:
        raise UnavailableError(str(error)) from error
    evaluator = model.evaluator if has_programs else ProgramEvaluator()
    return model.replace(energy=energy, evaluator=evaluator if programs else None)


def kernel_of(slot: KernelSlot) -> torch.nn.Module | None:
    """The module with kernels for a slot; None if there are none for it."""
    if isinstance(slot, _FUSED):
        return slot
    if isinstance(slot, SplineRadial):
        return slot if slot.on_kernels else SplineRadial(slot.source, slot.num_knots, on_kernels=True)
    if isinstance(slot, Convolution):
        return FusedConvolution(slot)
    return fused_contraction(slot) or fused_per_type_linear(slot)


def _paired(slot: KernelSlot) -> torch.nn.Module | None:
    return PairedRadial(slot) if type(slot) is RadialNetwork else None


def _is_symmetric(model: GraphModel) -> bool:
    """Whether edges have the same relative length in both directions."""
    cutoffs = model.info.cutoffs
    return cutoffs is None or [list(row) for row in cutoffs] == [list(column) for column in zip(*cutoffs, strict=True)]
