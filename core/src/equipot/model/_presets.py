"""Builders with an option ``preset`` that sets other options."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from equipot.errors import ConfigError, unknown

FROM_PRESET: Any = None
"""Default of an option whose value comes from the preset."""


Presets = Mapping[str, Mapping[str, Any]]
"""Options of each preset, by its name in capitals."""


def presets_of(builder: type) -> Presets:
    """The presets of a class of builders: what it names ``presets``; empty for one without.

    Args:
        builder: The class.
    """
    found = getattr(builder, "presets", None)
    return found if isinstance(found, Mapping) else {}


def apply_preset(builder: Any, presets: Presets | None = None) -> None:
    """Set the options that were not given; call it in ``__post_init__``, before that of the base class.

    Args:
        builder: Has the option ``preset``, a name in either case; the options it sets default to ``FROM_PRESET``.
        presets: Options of each preset, by its name in capitals; default: the attribute ``presets`` of its class,
            a ``ClassVar``, with which ``equipot describe`` and ``equipot explain`` know them too.

    Raises:
        ConfigError: If the preset does not exist.
    """
    presets = presets_of(type(builder)) if presets is None else presets
    name = str(builder.preset)
    if name.upper() not in presets:
        raise ConfigError(unknown(f"{type(builder).__name__}.preset", name, presets, "preset"))
    for option, value in presets[name.upper()].items():
        if getattr(builder, option) is FROM_PRESET:
            object.__setattr__(builder, option, value)
