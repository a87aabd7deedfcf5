"""Equivariant message-passing models for equipot."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from equipot_nequip.builder import NequIPGNNModel
    from equipot_nequip.presets import PresetNequIPGNNModel

__all__ = ["NequIPGNNModel", "PresetNequIPGNNModel"]


def __getattr__(name: str) -> Any:
    if name == "NequIPGNNModel":
        from equipot_nequip.builder import NequIPGNNModel

        return NequIPGNNModel
    if name == "PresetNequIPGNNModel":
        from equipot_nequip.presets import PresetNequIPGNNModel

        return PresetNequIPGNNModel
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
