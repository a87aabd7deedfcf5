"""Training: Lightning modules, losses, metrics and callbacks."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from equipot.train.losses import EnergyForceLoss, EnergyForceStressLoss, EnergyOnlyLoss, Loss
    from equipot.train.metrics import EnergyForceMetrics, EnergyForceStressMetrics, EnergyOnlyMetrics, Metrics
    from equipot.train.module import EMALightningModule, LightningModule

_HOME = {
    "losses": ("EnergyForceLoss", "EnergyForceStressLoss", "EnergyOnlyLoss", "Loss"),
    "metrics": ("EnergyForceMetrics", "EnergyForceStressMetrics", "EnergyOnlyMetrics", "Metrics"),
    "module": ("EMALightningModule", "LightningModule"),
}
_PUBLIC = {name: module for module, names in _HOME.items() for name in names}

__all__ = [
    "EMALightningModule",
    "EnergyForceLoss",
    "EnergyForceMetrics",
    "EnergyForceStressLoss",
    "EnergyForceStressMetrics",
    "EnergyOnlyLoss",
    "EnergyOnlyMetrics",
    "LightningModule",
    "Loss",
    "Metrics",
]


def __getattr__(name: str) -> Any:
    if name in _PUBLIC:
        return getattr(importlib.import_module(f"equipot.train.{_PUBLIC[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
