"""Builders whose option ``preset`` fills in others."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from equipot.errors import ConfigError, unknown

FROM_PRESET: Any = None
"""Default of an option that the preset fills in."""


class HasPreset(Protocol):
    """A builder with a preset."""

    @property
    def preset(self) -> str:
        """Name of the preset, in either case."""


def apply_preset(builder: HasPreset, presets: Mapping[str, Mapping[str, Any]]) -> None:
    """Fill in the options that were not given; to be called in ``__post_init__`` before that of the base.

    Args:
        builder: Options that the preset has are ``FROM_PRESET`` where they were not given.
        presets: Options of each preset by its name, in capitals.

    Raises:
        ConfigError: If there is no such preset.
    """
    name = str(builder.preset)
    if name.upper() not in presets:
        raise ConfigError(unknown(f"{type(builder).__name__}.preset", name, presets, "preset"))
    for option, value in presets[name.upper()].items():
        if getattr(builder, option) is FROM_PRESET:
            object.__setattr__(builder, option, value)
