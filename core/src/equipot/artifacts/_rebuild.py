"""Rebuild a stored model from its builder's config and the modifiers that were applied to it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, get_args

from equipot.artifacts._origins import registered
from equipot.artifacts._schema import Shown
from equipot.containers import leaves
from equipot.errors import ArtifactError, problem
from equipot.model._graph_model import AppliedModifier, GraphModel
from equipot.model._modifiers import reapply
from equipot.model._recipe import ModelBuilder
from equipot.options import Options, from_mapping
from equipot.plugins import PARTS, plugins
from equipot.units import Units
from equipot.validation import annotations_of

MAX_COUNT = 1_000_000
"""Largest integer that a stored model may give for an option without a bound, since builders count to it."""

_KINDS = ("model_builders", "pair_potentials", "energy_terms")


def options_from_config(config: Mapping[str, Any], where: str = "model") -> Options:
    """Make a builder or energy term from stored plain containers, with ``_target_`` as made by ``to_config``.

    Only registered names are resolved (``equipot.model.NAME``, ``equipot.pair_potentials.NAME``), and, inside a
    component, options that a plugin declares as a part: a file can never name other code. Any other target raises an
    ArtifactError, and a plugin that is missing a PluginNotFoundError.
    """
    return _options(config, where, _registered)


def _options(config: Mapping[str, Any], where: str, find: Callable[[str], Any]) -> Options:
    target = str(config.get("_target_", ""))
    options_class = find(target)
    if options_class is None:
        hint = "the file is damaged, or its model was made by a local file"
        if owner := plugins().owner_of(target):
            hint = (
                f"plugin {owner.label} does not declare it with equipot_parts; ask its author, or take the version used"
            )
        raise ArtifactError(problem(where, "must name a registered component", got=target, hint=hint))
    values = {key: _nested(value, f"{where}.{key}") for key, value in config.items() if key != "_target_"}
    if too_large := [name for name, value in values.items() if _is_too_large(value, options_class, name)]:
        what = f"must be at most {MAX_COUNT}, unless the option states its largest value"
        name = too_large[0]
        raise ArtifactError(problem(f"{where}.{name}", what, got=Shown(values[name])))
    options: Options = from_mapping(options_class, values, where)
    return options


def _is_too_large(value: object, options_class: Any, name: str) -> bool:
    """Whether an integer option is larger than ``MAX_COUNT`` and has no upper bound of its own."""
    largest = max((abs(item) for _, item in leaves(value) if type(item) is int), default=0)
    return largest > MAX_COUNT and not _states_a_bound(annotations_of(options_class).get(name))


def _states_a_bound(annotation: Any) -> bool:
    bounds = (getattr(item, "metadata", [item]) for item in getattr(annotation, "__metadata__", ()))
    own = any(hasattr(bound, "le") or hasattr(bound, "lt") for group in bounds for bound in group)
    return own or any(_states_a_bound(part) for part in get_args(annotation))


def _registered(target: str) -> Any:
    kind, name = registered(target)
    return plugins().load(kind, name) if kind in _KINDS else None


def _registered_or_part(target: str) -> Any:
    """A registered component, or a declared part that consists of checked options."""
    if (found := _registered(target)) is not None or target not in plugins().names(PARTS):
        return found
    found = plugins().load(PARTS, target)
    return found if issubclass(found, Options) else None


def _nested(value: Any, where: str) -> Any:
    if not isinstance(value, dict):
        return value
    if "_target_" in value:
        return _options(value, where, _registered_or_part)
    return {key: _nested(item, f"{where}.{key}") for key, item in value.items()}


def rebuild_model(config: Mapping[str, Any], applied: Iterable[AppliedModifier], units: Units = "metal") -> GraphModel:
    """Make the architecture of a stored model; the caller loads the weights.

    Args:
        config: ``GraphModel.config`` as stored.
        applied: ``GraphModel.modifiers`` as stored, in order.
        units: Unit system stored with the model.

    Returns:
        The model with initial weights, in train mode.

    Raises:
        ArtifactError: If the config does not belong to a model builder.
        PluginNotFoundError: If a plugin is missing.
    """
    builder = options_from_config(config)
    if not isinstance(builder, ModelBuilder):
        raise ArtifactError(problem("model", "is not a model builder", got=type(builder).__name__))
    return reapply(builder.build_energy_model(units), applied)
