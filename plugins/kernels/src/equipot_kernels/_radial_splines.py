"""The modifiers ``enable_RadialSplines`` and ``train_with_RadialSplines``."""

from __future__ import annotations

import itertools
import logging
from typing import TYPE_CHECKING, Annotated

import torch
from pydantic import Field

from equipot.errors import ConfigError, problem
from equipot.nn.radial_function import RadialFunction
from equipot.nn.slots import KernelSlot, replace_slots
from equipot_kernels import _force_error as force_error
from equipot_kernels._contraction.fused import FusedContraction
from equipot_kernels._convolution.fused import FusedConvolution
from equipot_kernels._edge_pairs import PairedRadial
from equipot_kernels._prebuild import prebuild
from equipot_kernels._spline.radial import SplineRadial

if TYPE_CHECKING:
    from equipot.model import EnergyModule, GraphModel

logger = logging.getLogger(__name__)

_FEWEST_INTERVALS = 128
"""Intervals of the coarsest table that is tried; each further table has twice as many."""

_ROUNDING_MARGIN = 2.0
"""Errors up to this many times the rounding error of the exact functions count as rounding."""


def enable_RadialSplines(  # noqa: N802 - the field's spelling
    model: GraphModel,
    *,
    tolerance: Annotated[float, Field(gt=0)] = 1e-6,
    max_knots: Annotated[int, Field(gt=1, le=65_537)] = 8193,
) -> GraphModel:
    """Interpolate the radial functions of a model, with as many knots as accurate forces need.

    The number of knots is doubled until no force component deviates by more than the tolerance from the forces of
    the exact radial functions in float64, on golden frames and on pairs of atoms at distances between the knots. The
    rounding error of the exact functions in the model's own data type is measured in the same way; the splines need
    not be more accurate than that.

    Args:
        model: Any model that uses ``RadialFunction`` modules.
        tolerance: Largest accepted error of a force component, in eV/Å (kcal/mol/Å in real units).
        max_knots: Largest number of knots to try.

    Returns:
        The model with splines, or the same model if all its radial functions are splines already.

    Raises:
        ConfigError: If the model has no radial functions, or the tolerance cannot be reached.
    """
    where = "modifier enable_RadialSplines"
    if not _found(model, where):
        return model
    num_knots, error, rounding = _choose_knots(model, tolerance, max_knots)
    unit = "eV/Å" if model.info.units == "metal" else "kcal/mol/Å"
    if error > max(tolerance, _ROUNDING_MARGIN * rounding):
        what = f"{num_knots} knots give forces that are {error:.1e} {unit} off"
        raise ConfigError(problem(where, what, got=tolerance, hint="raise max_knots or tolerance"))
    text = f"radial splines: {num_knots} knots, largest error of a force {error:.1e} {unit}"
    if error > tolerance:
        dtype = model.info.model_dtype
        why = f"the model's own rounding in {dtype} is {rounding:.1e}, so more knots cannot reach {tolerance:.1e}"
        logger.warning("%s; %s", text, why)
    else:
        logger.info("%s (tolerance %.1e)", text, tolerance)
    return _replaced(model, num_knots)


def train_with_RadialSplines(  # noqa: N802 - the field's spelling
    model: GraphModel, *, num_knots: Annotated[int, Field(gt=1, le=65_537)] = 513
) -> GraphModel:
    """Evaluate the radial functions of a model on knots only and interpolate, in training and afterwards.

    The splines are part of the model: the trained model is the one that is used. Their weights are those
    of the exact functions, so the model can be used without splines too; the resulting error is stored with it.

    Args:
        model: Any model that uses ``RadialFunction`` modules.
        num_knots: Number of knots from zero to the cutoff radius.

    Returns:
        The model with splines, or the same model if all its radial functions are splines already.

    Raises:
        ConfigError: If the model has no radial functions.
    """
    if not _found(model, "modifier train_with_RadialSplines"):
        return model
    return _replaced(model, num_knots)


def _replaced(model: GraphModel, num_knots: int) -> GraphModel:
    energy = with_splines(model.energy, num_knots)
    prebuild(energy, getattr(torch, model.info.model_dtype))
    return model.replace(energy=energy, evaluator=model.evaluator)


def with_splines(energy: EnergyModule, num_knots: int) -> EnergyModule:
    """An energy module whose radial functions are splines; existing splines are kept.

    If other parts of the module use kernels, the splines do too.

    Args:
        energy: Any energy module; it is not changed.
        num_knots: Number of knots.
    """
    on_kernels = any(isinstance(part, (FusedConvolution, FusedContraction)) for part in energy.modules())

    def make(slot: KernelSlot) -> torch.nn.Module | None:
        if isinstance(slot, RadialFunction) and not isinstance(slot, SplineRadial):
            exact = slot.reference if isinstance(slot, PairedRadial) else slot
            return SplineRadial(exact, num_knots, on_kernels=on_kernels)
        return None

    replaced: EnergyModule = replace_slots(energy, make)  # type: ignore[assignment]
    return replaced


def _found(model: GraphModel, where: str) -> bool:
    """Whether there is something to replace; a model without any radial function is an error."""
    parts = [part for part in model.energy.modules() if isinstance(part, RadialFunction)]
    if not parts:
        what = f"{type(model.energy).__name__} has no radial functions that could be splines"
        raise ConfigError(problem(where, what, hint="its builder must use equipot.nn.radial_function"))
    return not all(isinstance(part, SplineRadial) for part in parts)


def _choose_knots(model: GraphModel, tolerance: float, max_knots: int) -> tuple[int, float, float]:
    """Number of knots, their error, and the rounding error of the exact functions in the model's data type.

    The rounding error is only measured, and otherwise 0, if the tolerance is not reached.
    """
    exact = force_error.probe(model)
    reference = force_error.reference(exact)
    for doublings in itertools.count():
        num_knots = min((_FEWEST_INTERVALS << doublings) + 1, max_knots)
        splines = exact.replace(energy=with_splines(exact.energy, num_knots))
        frames = force_error.frames_of(exact.info, num_knots)
        error = force_error.largest(splines, reference, frames)
        logger.debug("radial splines: %d knots, largest error of a force %.1e", num_knots, error)
        rounding = 0.0 if error <= tolerance else force_error.largest(exact, reference, frames)
        if error <= max(tolerance, _ROUNDING_MARGIN * rounding) or num_knots == max_knots:
            break
    return num_knots, error, rounding
