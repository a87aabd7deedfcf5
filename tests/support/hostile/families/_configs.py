"""How configs are made from the valid one."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import yaml

from hostile import seeds as valid
from hostile.case import Case, Content

CHECK = ["check", valid.YAML]
TRAIN = ["train", valid.YAML, "--output", "run"]
BOTH = (CHECK, TRAIN)
"""A config must be refused by the check already, or else by the training."""


def laid_over(config: dict[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """A config with changes; nested mappings are merged (an empty one replaces), everything else is replaced."""
    made = copy.deepcopy(config)
    for key, value in changes.items():
        below = made.get(key)
        made[key] = (
            laid_over(below, value) if isinstance(below, dict) and isinstance(value, Mapping) and value else value
        )
    return made


def at(path: str, value: Any) -> dict[str, Any]:
    """A nested mapping with a value at a dotted path."""
    for key in reversed(path.split(".")):
        value = {key: value}
    made: dict[str, Any] = value
    return made


def config_case(
    name: str,
    config: dict[str, Any],
    changes: Mapping[str, Any] | None = None,
    *,
    commands: Sequence[Sequence[str]] = BOTH,
    files: Mapping[str, Content] | None = None,
    **facts: Any,
) -> Case:
    """A case of a config with changes."""
    text = yaml.safe_dump(laid_over(config, changes or {}), sort_keys=False, allow_unicode=True, width=1_000_000)
    return Case(name=name, commands=commands, files={valid.YAML: text, **(files or {})}, **facts)


def text_case(
    name: str, text: str | bytes, *, commands: Sequence[Sequence[str]] = BOTH, files: Any = None, **facts: Any
) -> Case:
    """A case of a config as it stands in the file."""
    return Case(name=name, commands=commands, files={valid.YAML: text, **(files or {})}, **facts)
