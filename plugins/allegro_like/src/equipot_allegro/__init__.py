"""Strictly local equivariant models (Allegro) for equipot."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from equipot_allegro.builder import AllegroModel
    from equipot_allegro.embedding import TwoBodyBesselScalarEmbed, TwoBodySplineScalarEmbed
    from equipot_allegro.presets import PresetAllegroModel

__all__ = ["AllegroModel", "PresetAllegroModel", "TwoBodyBesselScalarEmbed", "TwoBodySplineScalarEmbed"]

_MODULES = {
    "AllegroModel": "builder",
    "PresetAllegroModel": "presets",
    "TwoBodyBesselScalarEmbed": "embedding",
    "TwoBodySplineScalarEmbed": "embedding",
}


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
