"""JSON Schema of configs, with a definition for each installed component."""

from __future__ import annotations

import inspect
import typing
from typing import Any

from equipot.config._components import Component, components
from equipot.config._sections import SECTIONS, STAGES
from equipot.describe import describe_options
from equipot.validation import annotations_of, is_component

_OF_A_PLUGIN: dict[str, Any] = {
    "type": "object",
    "properties": {"_target_": {"type": "string", "pattern": r"^(?!equipot\.)"}},
    "required": ["_target_"],
}
"""A component that is named by its path in a plugin."""


def config_schema() -> dict[str, Any]:
    """The schema of a whole config, with a definition for each component."""
    found = components()
    definitions = {one.path: component_schema(one) for one in found}

    def any_of(kinds: tuple[str, ...], text: str) -> dict[str, Any]:
        paths = [one.path for one in found if one.path in kinds or one.kind in kinds]
        return {"description": text, "anyOf": [*({"$ref": f"#/$defs/{path}"} for path in paths), _OF_A_PLUGIN]}

    modules = ("equipot.train.EMALightningModule", "equipot.train.LightningModule")
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "equipot config",
        "type": "object",
        "properties": {
            "run": {
                "description": "Stages in order.",
                "type": "array",
                "minItems": 1,
                "items": {"enum": list(STAGES)},
            },
            "seed": {
                "description": "Seed of everything that data.seed and model.seed do not cover.",
                "type": "integer",
            },
            "data": any_of(("equipot.data.ASEDataModule",), "Labelled data."),
            "trainer": {
                "description": "lightning.Trainer and its options.",
                "type": "object",
                "properties": {"_target_": {"type": "string"}},
                "required": ["_target_"],
            },
            "training_module": any_of(modules, "Model, loss, metrics and optimizer."),
        },
        "required": list(SECTIONS),
        "$defs": definitions,
    }


def component_schema(component: Component) -> dict[str, Any]:
    """The schema of a component's mapping in a config."""
    hints = annotations_of(component.target)
    properties: dict[str, Any] = {"_target_": {"const": component.path}}
    required = ["_target_"]
    for option in describe_options(component.target):
        properties[option.name] = {**_type_schema(hints.get(option.name)), "description": option.doc}
        if not option.default:
            required.append(option.name)
    summary = (inspect.getdoc(component.target) or "").split("\n")[0]
    return {
        "description": summary,
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": False,
    }


def _type_schema(annotation: Any) -> dict[str, Any]:
    """The schema of an annotation; for a component, a mapping with ``_target_``."""
    from pydantic import TypeAdapter
    from pydantic.errors import PydanticSchemaGenerationError, PydanticUserError

    if annotation is None:
        return {}
    if any(is_component(part) for part in typing.get_args(annotation) or (annotation,)):  # alone or in a union
        return {"type": ["object", "null"], "properties": {"_target_": {"type": "string"}}}
    try:
        return TypeAdapter(annotation).json_schema()
    except (PydanticSchemaGenerationError, PydanticUserError, TypeError):
        return {}
