"""Apply modifiers: functions ``(model, *, option: type = default) -> model``.

They never change their argument; the result shares all tensors that remain. Persistent modifiers are recorded with the
model, the others are hints.
"""

from __future__ import annotations

import dataclasses
import logging
import warnings
from collections.abc import Iterable, Mapping
from typing import Any

import torch

from equipot._host.attribution import naming_plugins
from equipot.declarations import ModifierEntry
from equipot.errors import ConfigError, PluginError, UnavailableError, problem
from equipot.model._graph_model import AppliedModifier, GraphModel
from equipot.model._scale_shift import ScaleShift
from equipot.plugins import plugins
from equipot.validation import check_options

logger = logging.getLogger(__name__)

DERIVATIVES = ("forces", "stress", "virial")
"""Outputs that the modifier chosen by ``do_derivatives: true`` must provide."""


@naming_plugins()
def apply_modifier(model: GraphModel, name: str, options: Mapping[str, Any] | None = None) -> GraphModel:
    """Apply one installed modifier by its registered name.

    A modifier that is not persistent and cannot work on this machine leaves the model as it is, with a warning.

    Args:
        model: An eager model, before any optimiser, EMA copy, DDP or compiler uses it.
        name: Registered name, e.g. ``enable_ForceStressOutput``.
        options: Its options, checked against the function's signature.

    Returns:
        The modified model, or the argument itself if there is nothing to change.

    Raises:
        PluginError: If no installed plugin declares the modifier.
        ConfigError: On wrong options, or if the model is not eager.
    """
    try:
        return modified(model, name, options)
    except UnavailableError as error:
        if getattr(plugins().lookup("modifiers", name).entry, "persistent", True):
            raise
        warnings.warn(f"modifier {name}: the model stays without it: {error}", RuntimeWarning, stacklevel=2)
        return model


def modified(model: GraphModel, name: str, options: Mapping[str, Any] | None = None) -> GraphModel:
    """As ``apply_modifier``, but UnavailableError is raised."""
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
        logger.info("modifier %s: nothing to change, the model already has the requested state", name)
        return model
    entry: ModifierEntry = declared.entry  # type: ignore[assignment]
    applied = AppliedModifier(name, checked, declared.distribution, declared.version, entry.exact_without)
    result.modifiers = (*model.modifiers, applied) if entry.persistent else model.modifiers
    result.hints = model.hints if entry.persistent else (*model.hints, applied)
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

    If the plugin of a modifier that only approximates is missing, the modifier is left out, with a warning.

    Args:
        model: The model without its modifiers.
        applied: The records, in order.

    Raises:
        PluginError: Naming the distribution to install, if any other modifier is missing; if one is not persistent.
    """
    for modifier in applied:
        try:
            declared = plugins().lookup("modifiers", modifier.name)
        except PluginError as error:
            needed = f"pip install '{modifier.distribution}>={modifier.version}'"
            if modifier.exact_without:
                text = "the model was made with %s, which is not installed: it is evaluated exactly; to install it: %s"
                logger.warning(text, modifier.name, needed)
                continue
            raise PluginError(f"the model was made with the modifier {modifier.name!r}: {error}; {needed}") from None
        if not getattr(declared.entry, "persistent", False):
            what = "is not one that stored models have"
            raise PluginError(problem(f"the model's modifier {modifier.name}", what, hint="the file was edited"))
        model = apply_modifier(model, modifier.name, modifier.options)
    return model


def add_derivatives(model: GraphModel) -> GraphModel:
    """Apply the installed modifier that provides forces, stress and virial; PluginError says what to install."""
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
    """Change scales and shifts of the atomic energies; those that are not given stay as they are.

    Args:
        model: The model.
        scales: New factors, one for all types or a mapping for some.
        shifts: New energies of isolated atoms, one for all types or a mapping for some.
        scales_trainable: Whether to train the scales; default: as in the model.
        shifts_trainable: Whether to train the shifts; default: as in the model.

    Returns:
        The model with new scales and shifts.
    """
    part = model.scale_shift
    old: dict[str, Any] = {name: part.values(name) for name in ("scales", "shifts")}
    old |= {f"{name}_trainable": isinstance(getattr(part, name), torch.nn.Parameter) for name in ("scales", "shifts")}
    new = dict(old)
    for name, value in (("scales", scales), ("shifts", shifts)):
        if value is not None:
            new[name] = {**old[name], **(value if isinstance(value, dict) else dict.fromkeys(old[name], float(value)))}
    for name, trainable in (("scales", scales_trainable), ("shifts", shifts_trainable)):
        if trainable is not None:
            new[f"{name}_trainable"] = trainable
    return model if new == old else model.replace(scale_shift=ScaleShift(part.type_names, **new))


def as_records(modifiers: Iterable[AppliedModifier]) -> list[dict[str, Any]]:
    """Plain containers for a manifest."""
    return [dataclasses.asdict(modifier) for modifier in modifiers]


def from_records(records: Iterable[Mapping[str, Any]]) -> tuple[AppliedModifier, ...]:
    """Inverse of ``as_records``."""
    return tuple(AppliedModifier(**record) for record in records)
