"""Apply modifiers: functions ``(model, *, option: type = default) -> model``.

The argument is never changed, the result shares all surviving tensors. Persistent modifiers are
recorded with the model; the others are hints.
"""

from __future__ import annotations

import dataclasses
import logging
from typing import TYPE_CHECKING, Any

import torch

from equipot._host.attribution import naming_plugins
from equipot.errors import ConfigError, PluginError, problem
from equipot.model._graph_model import AppliedModifier, GraphModel
from equipot.model._scale_shift import ScaleShift
from equipot.plugins import plugins
from equipot.validation import check_options

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from equipot.declarations import ModifierEntry

logger = logging.getLogger(__name__)

DERIVATIVES = ("forces", "stress", "virial")
"""What the modifier chosen by ``do_derivatives: true`` must provide."""


@naming_plugins()
def apply_modifier(model: GraphModel, name: str, options: Mapping[str, Any] | None = None) -> GraphModel:
    """Apply one installed modifier by its registered name.

    Args:
        model: An eager model that no optimiser, EMA copy, DDP or compiler has seen.
        name: Registered name, e.g. ``enable_ForceStressOutput``.
        options: Its options, checked against the function's signature.

    Returns:
        The modified model; the argument itself where there is nothing to change.

    Raises:
        PluginError: If no installed plugin declares the modifier.
        ConfigError: On wrong options, or a model that is not eager.
    """
    if not isinstance(model, GraphModel):
        hint = "apply modifiers before compiling, DDP or training"
        what = "works on an eager GraphModel only"
        raise ConfigError(problem(f"modifier {name}", what, got=type(model).__name__, hint=hint))
    host = plugins()
    declared = host.lookup("modifiers", name)
    function = host.load("modifiers", name)
    checked, problems = check_options(function, {"model": model, **(options or {})}, f"modifier {name}")
    if problems:
        raise ConfigError(problems)
    checked.pop("model")
    result = function(model, **checked)
    if not isinstance(result, GraphModel):
        raise PluginError(
            f"modifier {name}: must return a GraphModel, got {type(result).__name__}; "
            f"report this to the authors of {declared.distribution}"
        )
    if result is model:
        logger.info("modifier %s: nothing to change, the model is already in the asked state", name)
        return model
    entry: ModifierEntry = declared.entry  # type: ignore[assignment]
    result.modifiers = model.modifiers
    if entry.persistent:
        applied = AppliedModifier(name, checked, declared.distribution, declared.version, entry.exact_without)
        result.modifiers = (*model.modifiers, applied)
    return result


def apply_modifiers(model: GraphModel, modifiers: Iterable[tuple[str, Mapping[str, Any]]]) -> GraphModel:
    """Apply several modifiers in order.

    Args:
        model: As for ``apply_modifier``.
        modifiers: Pairs of name and options.

    Returns:
        The modified model.
    """
    for name, options in modifiers:
        model = apply_modifier(model, name, options)
    return model


def reapply(model: GraphModel, applied: Iterable[AppliedModifier]) -> GraphModel:
    """Apply the recorded persistent modifiers of a stored model.

    One that only approximates is left out where its plugin is missing, with a warning.

    Raises:
        PluginError: Naming the distribution to install, if another modifier is missing.
    """
    for modifier in applied:
        try:
            plugins().lookup("modifiers", modifier.name)
        except PluginError as error:
            needed = f"pip install '{modifier.distribution}>={modifier.version}'"
            if modifier.exact_without:
                text = "the model was made with %s, which is not installed: it is evaluated exactly; for its numbers %s"
                logger.warning(text, modifier.name, needed)
                continue
            raise PluginError(f"the model was made with the modifier {modifier.name!r}: {error}; {needed}") from None
        model = apply_modifier(model, modifier.name, modifier.options)
    return model


def add_derivatives(model: GraphModel) -> GraphModel:
    """Apply the installed modifier that provides forces, stress and virial.

    Raises:
        PluginError: If no installed plugin declares one, saying what to install.
    """
    host = plugins()
    names = [
        declared.entry.name
        for declared in host.available("modifiers")
        if set(DERIVATIVES) <= set(getattr(declared.entry, "provides", ()))
    ]
    if not names:
        hint = f"{host.install_hint('provides', 'forces')}, or set do_derivatives: false"
        raise PluginError(problem("do_derivatives", "no installed plugin provides forces and stress", hint=hint))
    return apply_modifier(model, names[0])


def modify_PerTypeScaleShift(  # noqa: N802 - registered names keep the field's spelling
    model: GraphModel,
    *,
    scales: float | dict[str, float] | None = None,
    shifts: float | dict[str, float] | None = None,
    scales_trainable: bool | None = None,
    shifts_trainable: bool | None = None,
) -> GraphModel:
    """Change scales and shifts of the atomic energies; what is not given stays as it is.

    Args:
        model: The model.
        scales: New factors, one or for some types.
        shifts: New energies of isolated atoms, one or for some types.
        scales_trainable: Train the scales, or not; default: as the model has it.
        shifts_trainable: Train the shifts, or not; default: as the model has it.

    Returns:
        The model with new scales and shifts.
    """
    old = model.scale_shift
    new = ScaleShift(
        old.type_names,
        scales=_updated(old.values("scales"), scales),
        shifts=_updated(old.values("shifts"), shifts),
        scales_trainable=_is_trainable(old, "scales") if scales_trainable is None else scales_trainable,
        shifts_trainable=_is_trainable(old, "shifts") if shifts_trainable is None else shifts_trainable,
    )
    return model if _same_scale_shift(old, new) else model.replace(scale_shift=new)


def _same_scale_shift(old: ScaleShift, new: ScaleShift) -> bool:
    return all(
        old.values(name) == new.values(name) and _is_trainable(old, name) == _is_trainable(new, name)
        for name in ("scales", "shifts")
    )


def _is_trainable(scale_shift: ScaleShift, name: str) -> bool:
    return isinstance(getattr(scale_shift, name), torch.nn.Parameter)


def _updated(old: dict[str, float], new: float | dict[str, float] | None) -> dict[str, float]:
    if new is None:
        return old
    return {**old, **new} if isinstance(new, dict) else dict.fromkeys(old, float(new))


def as_records(modifiers: Iterable[AppliedModifier]) -> list[dict[str, Any]]:
    """Plain containers for a manifest."""
    return [dataclasses.asdict(modifier) for modifier in modifiers]


def from_records(records: Iterable[Mapping[str, Any]]) -> tuple[AppliedModifier, ...]:
    """Inverse of ``as_records``."""
    return tuple(AppliedModifier(**record) for record in records)
