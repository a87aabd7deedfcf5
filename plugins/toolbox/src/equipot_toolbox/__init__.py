"""Further losses, metrics, callbacks, training modules, optimizers and datasets for equipot.

Configs name everything as ``equipot_toolbox.NAME``; nothing is imported before its first use.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from equipot_toolbox.error_metrics import (
        HuberLoss,
        MaximumAbsoluteError,
        MeanAbsoluteError,
        MeanSquaredError,
        RootMeanSquaredError,
        StratifiedHuberForceLoss,
    )
    from equipot_toolbox.fields import MappedFieldModifier
    from equipot_toolbox.measures import (
        EnergyForceLoss,
        EnergyForceMetrics,
        EnergyForceStressLoss,
        EnergyForceStressMetrics,
        EnergyOnlyLoss,
        EnergyOnlyMetrics,
    )
    from equipot_toolbox.metrics_manager import MetricsManager

_HOME = {
    "error_metrics": (
        "HuberLoss",
        "MaximumAbsoluteError",
        "MeanAbsoluteError",
        "MeanSquaredError",
        "RootMeanSquaredError",
        "StratifiedHuberForceLoss",
    ),
    "fields": ("MappedFieldModifier",),
    "measures": (
        "EnergyForceLoss",
        "EnergyForceMetrics",
        "EnergyForceStressLoss",
        "EnergyForceStressMetrics",
        "EnergyOnlyLoss",
        "EnergyOnlyMetrics",
    ),
    "metrics_manager": ("MetricsManager",),
}
_PUBLIC = {name: module for module, names in _HOME.items() for name in names}

__all__ = [  # noqa: RUF022 - by module
    "HuberLoss",
    "MaximumAbsoluteError",
    "MeanAbsoluteError",
    "MeanSquaredError",
    "RootMeanSquaredError",
    "StratifiedHuberForceLoss",
    "MappedFieldModifier",
    "EnergyForceLoss",
    "EnergyForceMetrics",
    "EnergyForceStressLoss",
    "EnergyForceStressMetrics",
    "EnergyOnlyLoss",
    "EnergyOnlyMetrics",
    "MetricsManager",
]


def __getattr__(name: str) -> Any:
    if name in _PUBLIC:
        return getattr(importlib.import_module(f"equipot_toolbox.{_PUBLIC[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
