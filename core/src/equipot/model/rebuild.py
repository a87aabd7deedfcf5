"""Make a stored model again from its builder's config and the modifiers applied to it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from equipot.errors import ArtifactError, problem
from equipot.model.options import Options
from equipot.model.recipe import ModelBuilder
from equipot.plugins import NAMESPACES, plugins

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from equipot.model.graph_model import AppliedModifier, GraphModel
    from equipot.units import Units

_KIND_OF_NAMESPACE = {namespace: kind for kind, namespace in NAMESPACES.items()}


def options_from_config(config: Mapping[str, Any], where: str = "model") -> Options:
    """Make a builder or energy term from stored plain containers.

    Only registered names are resolved (``equipot.model.NAME``, ``equipot.pair_potentials.NAME``):
    a file can never name code.

    Args:
        config: Mapping with ``_target_`` and options, as made by ``to_config``.
        where: Place named in errors.

    Returns:
        The checked options.

    Raises:
        ArtifactError: If a target is no registered name.
        PluginNotFoundError: If the plugin is not installed, saying what to install.
        ConfigError: If the options do not fit the installed version.
    """
    target = str(config.get("_target_", ""))
    namespace, _, name = target.rpartition(".")
    kind = _KIND_OF_NAMESPACE.get(namespace)
    if kind not in ("model_builders", "pair_potentials"):
        raise ArtifactError(
            problem(
                where,
                "names no registered component",
                got=target,
                hint="the file is damaged, or its model was made by a local file",
            )
        )
    options_class = plugins().load(kind, name)
    values = {
        key: options_from_config(value, f"{where}.{key}") if _is_component(value) else _nested(value, f"{where}.{key}")
        for key, value in config.items()
        if key != "_target_"
    }
    options: Options = options_class(**values)
    return options


def _is_component(value: object) -> bool:
    return isinstance(value, dict) and "_target_" in value


def _nested(value: Any, where: str) -> Any:
    if isinstance(value, dict):
        return {
            key: options_from_config(item, f"{where}.{key}") if _is_component(item) else item
            for key, item in value.items()
        }
    return value


def rebuild_model(config: Mapping[str, Any], applied: Iterable[AppliedModifier], units: Units = "metal") -> GraphModel:
    """Make the architecture of a stored model; the caller loads its weights.

    Args:
        config: ``GraphModel.config`` as stored.
        applied: ``GraphModel.modifiers`` as stored, in order.
        units: Unit system stored with the model.

    Returns:
        The model with fresh weights, in train mode.

    Raises:
        ArtifactError: If the config is not of a model builder.
        PluginNotFoundError: If a plugin is missing.
    """
    from equipot.modifiers import reapply

    builder = options_from_config(config)
    if not isinstance(builder, ModelBuilder):
        raise ArtifactError(problem("model", "is not a model builder", got=type(builder).__name__))
    return reapply(builder.build_energy_model(units), applied)
