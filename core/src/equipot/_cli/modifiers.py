"""Modifiers on the command line."""

from __future__ import annotations

import json
from typing import Any

from equipot.errors import ConfigError, problem


def parse_modifier(text: str) -> tuple[str, dict[str, Any]]:
    """Read the name and options of ``NAME`` or ``NAME:key=value,key=value``.

    A value is read as JSON if possible, otherwise as text; commas in brackets or quotes belong to it.

    Example:
        >>> parse_modifier('modify_PerTypeScaleShift:shifts={"H": -13.6},shifts_trainable=true')
        ('modify_PerTypeScaleShift', {'shifts': {'H': -13.6}, 'shifts_trainable': True})
    """
    name, _, rest = text.partition(":")
    options: dict[str, Any] = {}
    for item in _split(rest):
        key, equals, value = item.partition("=")
        if not equals or not key.strip().isidentifier() or key.strip() in options:
            what, hint = f"{item!r} is not of the form key=value", "write NAME:key=value,key=value"
            raise ConfigError(problem("--modifiers", what, got=text, hint=hint))
        options[key.strip()] = _value(value.strip())
    if not name.isidentifier():
        raise ConfigError(problem("--modifiers", "must be NAME or NAME:key=value,…", got=text))
    return name, options


def _split(text: str) -> list[str]:
    """Split at the commas outside of brackets and quotes."""
    parts, depth, quoted, part = [], 0, False, ""
    for character in text:
        if character == '"':
            quoted = not quoted
        depth += 0 if quoted else (character in "[{") - (character in "]}")
        if character == "," and depth == 0 and not quoted:
            parts.append(part)
            part = ""
        else:
            part += character
    return [item for item in [*parts, part] if item.strip()]


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text
