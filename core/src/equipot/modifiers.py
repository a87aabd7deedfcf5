"""The registered modifiers: ``equipot.modifiers.NAME``; ``equipot.model.apply_modifier`` applies them."""

from __future__ import annotations

from typing import Any


def __getattr__(name: str) -> Any:
    from equipot.plugins import registered_attribute

    return registered_attribute("modifiers", __name__, name)
