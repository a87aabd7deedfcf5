"""JSON Schema of configs, with a definition for each installed component.

Where a place takes some kinds of components (see ``equipot.config._places``), or an option is annotated with a class
of components, the schema lists the definitions of those that fit. An interpolation ``${…}`` is possible everywhere.
"""

from __future__ import annotations

import collections.abc
import inspect
import types
import typing
from collections.abc import Iterable
from typing import Annotated, Any

from equipot.config._components import Component, components
from equipot.config._default_values import DEFAULTS
from equipot.config._defaults import WRITTEN
from equipot.config._elements import AUTO, OF_TYPES, SHIFTS
from equipot.config._loggers import WORDS
from equipot.config._places import kinds_at
from equipot.config._sections import DEFERRED, MODEL, SECTIONS, STAGES, is_within
from equipot.containers import nodes
from equipot.describe import describe_options
from equipot.validation import annotations_of, is_component

Schema = dict[str, Any]

INTERPOLATION: Schema = {"$ref": "#/$defs/interpolation"}
OTHER: Schema = {"$ref": "#/$defs/other"}
NULL: Schema = {"type": "null"}

SECTION_OF_KIND = {
    "data_module": "data",
    "training_module": "training_module",
    "optimizer": "training_module.optimizer",
    "parameter_groups": "training_module.optimizer.param_groups",
    "scheduler": "training_module.lr_scheduler",
}
"""The section that a kind of part makes, so that the places of its options are known."""

TRAINER_PLACES = ("callbacks", "logger", "strategy", "profiler", "plugins")
"""Options of Lightning's trainer that take components; all others are left to the check."""

FOLLOWING: dict[str, Schema] = {
    **{name: {"const": AUTO} for name in OF_TYPES},
    SHIFTS: {"type": "string", "description": "A file with energies of atoms."},
}
"""What configs may write besides, from which the value of an option follows."""


DEFAULT_PATHS = frozenset(one.path for one in DEFAULTS)


def _short_parts(place: str) -> list[str]:
    """Options of a section that may be mappings without a class, as their class or that of a part has a default."""
    before = f"{place}."
    inner = [path.removeprefix(before) for path in DEFAULT_PATHS if path.startswith(before)]
    return sorted({path.split(".")[0] for path in inner if path.endswith("._target_")})


def config_schema() -> Schema:
    """The schema of a whole config, with a definition for each component."""
    made = _Definitions(components())
    stages = {"type": "array", "minItems": 1, "items": {"enum": list(STAGES)}}
    seed = "Seed of everything that data.seed and model.seed do not cover."
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "equipot config",
        "type": "object",
        "properties": {
            "run": {"description": "Stages in order.", "anyOf": [stages, {"enum": list(STAGES)}, INTERPOLATION]},
            "seed": {"description": seed, "anyOf": [{"type": "integer"}, INTERPOLATION]},
            "data": {"description": "Labelled data.", "anyOf": [*made.at("data"), made.short("data")]},
            "trainer": made.trainer(),
            "training_module": {
                "description": "Model, loss, metrics and optimizer.",
                "anyOf": [*made.at("training_module"), made.short("training_module")],
            },
        },
        "required": [name for name in SECTIONS if name in WRITTEN],
    }
    for component in made.components:
        made.reference(component)
    return {**schema, "$defs": made.defined}


def component_schema(component: Component) -> Schema:
    """The schema of a component's mapping in a config, with the definitions that it refers to."""
    made = _Definitions(components())
    schema = made.schema_of(component)
    needed: dict[str, Schema] = {}
    _collect(schema, made.defined, needed)
    return {**schema, "$defs": needed} if needed else schema


def _collect(schema: Schema, defined: dict[str, Schema], needed: dict[str, Schema]) -> None:
    for path, value in nodes(schema):
        if path.endswith("$ref"):
            name = str(value).removeprefix("#/$defs/")
            if name not in needed:
                needed[name] = defined[name]
                _collect(defined[name], defined, needed)


class _Definitions:
    """The definitions of a schema, made when they are first referred to."""

    def __init__(self, found: list[Component]) -> None:
        self.components = found
        paths = [one.path for one in found]
        other = {"type": "string", "pattern": r"^(?!equipot\.)", "not": {"enum": paths}}
        self.defined: dict[str, Schema] = {
            "interpolation": {"type": "string", "pattern": r"\$\{"},
            "other": {
                "description": "A class of another package; its options are left to 'equipot check'.",
                "type": "object",
                "properties": {"_target_": other},
                "required": ["_target_"],
            },
        }

    def reference(self, component: Component) -> Schema:
        """A reference to the definition of a component."""
        if component.path not in self.defined:
            self.defined[component.path] = {}  # a component may take one of its own kind
            self.defined[component.path] = self.schema_of(component)
        return {"$ref": f"#/$defs/{component.path}"}

    def one_of(self, fitting: Iterable[Component]) -> list[Schema]:
        """Alternatives for a place that takes these components, or one of other packages."""
        return [*(self.reference(one) for one in fitting), OTHER, INTERPOLATION]

    def at(self, place: str) -> list[Schema]:
        """Alternatives for a place that takes components of certain kinds, or lists of them; empty for others."""
        found: list[Schema] = []
        if kinds := kinds_at(place):
            found += self.one_of(one for one in self.components if one.kind in kinds)
        if kinds_at(f"{place}.0") and place.count(".0") < 2:
            found.append({"type": "array", "items": {"anyOf": self.at(f"{place}.0")}})
        return found

    def trainer(self) -> Schema:
        """The schema of the section ``trainer``."""
        simple = {"type": ["boolean", "string", "null"]}
        words = {"type": "array", "items": {"enum": list(WORDS)}}
        options = {name: {"anyOf": [*self.at(f"trainer.{name}"), simple]} for name in TRAINER_PLACES}
        options["logger"]["anyOf"].append(words)
        return {
            "description": "lightning.Trainer and its options.",
            "type": "object",
            "properties": {"_target_": {"type": "string"}, **options},
        }

    def short(self, place: str) -> Schema:
        """The schema of a mapping without ``_target_``, into which defaults are put."""
        path = next((one.value for one in DEFAULTS if one.path == f"{place}._target_"), None)
        found = next((one for one in self.components if one.path == path), None)
        if found is None:  # it follows from other parts, or is of another package
            inner = {name: self.short(f"{place}.{name}") for name in _short_parts(place)}
            return {"type": "object", "properties": {"_target_": False, **inner}}
        schema = self.schema_of(found)
        properties = {key: value for key, value in schema["properties"].items() if key != "_target_"}
        for name in _short_parts(place):
            value = properties[name]
            properties[name] = {**value, "anyOf": [*value["anyOf"], self.short(f"{place}.{name}")]}
        if f"{place}.model" == MODEL:
            properties["model"] = {**properties["model"], "anyOf": self.open_models(properties["model"]["anyOf"])}
        required = [
            name for name in schema["required"] if name != "_target_" and f"{place}.{name}" not in DEFAULT_PATHS
        ]
        return {**schema, "properties": properties, "required": required}

    def open_models(self, alternatives: list[Schema]) -> list[Schema]:
        """The alternatives of a model, in which the options with defaults are not required."""
        given = {one.path.rpartition(".")[2] for one in DEFAULTS if one.path.startswith("{model}.")}
        opened = []
        for one in alternatives:
            name = str(one.get("$ref", "")).removeprefix("#/$defs/")
            whole = self.defined.get(name, {})
            if not given & set(whole.get("required", ())):
                opened.append(one)
                continue
            self.defined[f"short:{name}"] = {
                **whole,
                "required": [option for option in whole["required"] if option not in given],
            }
            opened.append({"$ref": f"#/$defs/short:{name}"})
        return opened

    def schema_of(self, component: Component) -> Schema:
        """The schema of a component's mapping."""
        hints = annotations_of(component.target)
        properties: Schema = {"_target_": {"const": component.path}}
        required = ["_target_"]
        section = SECTION_OF_KIND.get(component.kind, "")
        given = next((names for outer, names in DEFERRED.items() if is_within(section, outer)), ())  # later
        for option in describe_options(component.target):
            if option.name in given:
                continue
            schema = self.option(f"{section}.{option.name}", hints.get(option.name))
            if option.name in FOLLOWING and "anyOf" in schema:
                schema = {"anyOf": [*schema["anyOf"], FOLLOWING[option.name]]}
            properties[option.name] = {**schema, "description": option.doc}
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

    def option(self, place: str, annotation: Any) -> Schema:
        """The schema of an option, by its place if that takes components of certain kinds, else by its annotation."""
        found = self.at(place)
        if inner := self.at(f"{place}.scheduler"):
            properties = {"scheduler": {"anyOf": inner}, "_target_": False}
            found.append({"type": "object", "properties": properties, "required": ["scheduler"]})
        return {"anyOf": [*found, NULL]} if found else self.of(annotation)

    def of(self, annotation: Any) -> Schema:
        """The schema of an annotation; an empty one accepts everything."""
        if annotation is None or annotation is Any:
            return {}
        return {"anyOf": [*self.alternatives(annotation), INTERPOLATION]}

    def alternatives(self, annotation: Any) -> list[Schema]:
        """Schemas of what an annotation allows; a class that no config can write has none."""
        origin, args = typing.get_origin(annotation), typing.get_args(annotation)
        if origin in (typing.Union, types.UnionType):
            return [one for arg in args for one in self.alternatives(arg)]
        if origin is Annotated and self._has_components(args[0]):
            return self.alternatives(args[0])
        if origin in (list, collections.abc.Sequence):
            return [{"type": "array", "items": self.of(args[0])}]
        if origin in (dict, collections.abc.Mapping):
            return [{"type": "object", "additionalProperties": self.of(args[1])}]
        if is_component(annotation):
            return self.one_of(one for one in self.components if _derives(one.target, annotation))[:-1]
        return _plain_schema(annotation)

    def _has_components(self, annotation: Any) -> bool:
        return is_component(annotation) or any(self._has_components(arg) for arg in typing.get_args(annotation))


def _derives(target: Any, base: type) -> bool:
    return inspect.isclass(target) and issubclass(target, base)


def _plain_schema(annotation: Any) -> list[Schema]:
    """The schema of an annotation without components, if pydantic knows it."""
    from pydantic import TypeAdapter
    from pydantic.errors import PydanticSchemaGenerationError, PydanticUserError

    try:
        return [TypeAdapter(annotation).json_schema()]
    except (PydanticSchemaGenerationError, PydanticUserError, TypeError):
        return []
