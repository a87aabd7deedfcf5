"""Training: Lightning modules, losses, metrics and callbacks."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from equipot.train.averaging import AveragingLightningModule, EMALightningModule
    from equipot.train.base import WEIGHTED_SUM, Loss, Metrics
    from equipot.train.losses import EnergyForceLoss, EnergyForceStressLoss, EnergyOnlyLoss
    from equipot.train.metrics import EnergyForceMetrics, EnergyForceStressMetrics, EnergyOnlyMetrics
    from equipot.train.module import LightningModule

_HOME = {
    "averaging": ("AveragingLightningModule", "EMALightningModule"),
    "base": ("WEIGHTED_SUM", "Loss", "Metrics"),
    "losses": ("EnergyForceLoss", "EnergyForceStressLoss", "EnergyOnlyLoss"),
    "metrics": ("EnergyForceMetrics", "EnergyForceStressMetrics", "EnergyOnlyMetrics"),
    "module": ("LightningModule",),
}
_PUBLIC = {name: module for module, names in _HOME.items() for name in names}

__all__ = [
    "WEIGHTED_SUM",
    "AveragingLightningModule",
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
