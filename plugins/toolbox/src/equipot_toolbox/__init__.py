"""Further losses, metrics, callbacks, training modules, optimizers and datasets for equipot.

Configs name everything as ``equipot_toolbox.NAME``; nothing is imported before its first use.
"""

from __future__ import annotations

import importlib
from typing import Any

_HOME = {
    "coefficients": ("LinearLossCoefficientScheduler", "LossCoefficientMonitor", "LossCoefficientScheduler"),
    "conflict_free": ("ConFIGLightningModule", "EMAConFIGLightningModule"),
    "_data_module": ("FrameDataModule",),
    "_datasets": ("ASEDataset", "NPZDataset"),
    "_frame_source": ("FrameSource",),
    "error_metrics": (
        "HuberLoss",
        "MaximumAbsoluteError",
        "MeanAbsoluteError",
        "MeanSquaredError",
        "RootMeanSquaredError",
        "StratifiedHuberForceLoss",
    ),
    "_fields": ("MappedFieldModifier",),
    "_hdf5": ("HDF5Dataset",),
    "_lmdb_dataset": ("LMDBDataset", "write_lmdb"),
    "measures": (
        "EnergyForceLoss",
        "EnergyForceMetrics",
        "EnergyForceStressLoss",
        "EnergyForceStressMetrics",
        "EnergyOnlyLoss",
        "EnergyOnlyMetrics",
    ),
    "metrics_manager": ("MetricsManager",),
    "monitors": ("TF32Scheduler", "TrainingStatsMonitor"),
    "muon": ("MuonParamGroups", "MuonWithAuxAdam"),
    "schedule_free": ("AdamWScheduleFree", "RAdamScheduleFree", "SGDScheduleFree", "ScheduleFreeLightningModule"),
    "softadapt": ("SoftAdapt",),
    "xyz": ("TestTimeXYZFileWriter", "ValTimeXYZFileWriter"),
}
_EXTRAS = {"_hdf5": "hdf5", "_lmdb_dataset": "lmdb", "schedule_free": "schedulefree"}
_PUBLIC = {name: module for module, names in _HOME.items() for name in names}

__all__ = list(_PUBLIC)


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    home = _PUBLIC[name]
    try:
        return getattr(importlib.import_module(f"equipot_toolbox.{home}"), name)
    except ModuleNotFoundError as error:
        if home not in _EXTRAS or str(error.name).startswith("equipot"):
            raise
        hint = f"pip install 'equipot-toolbox[{_EXTRAS[home]}]'"
        raise ModuleNotFoundError(f"{name} needs the package {error.name!r}; {hint}", name=error.name) from None
