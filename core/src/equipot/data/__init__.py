"""Labelled data: reading, checking, splitting, batching and statistics.

``equipot.data.NAME`` is every registered statistics manager too; nothing is imported before its
first use.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from equipot.data.base import DataModule, name_sets
    from equipot.data.census import Census
    from equipot.data.collection import FrameCollection, collect_frames
    from equipot.data.dataset import FrameDataset
    from equipot.data.frames import frame_from_atoms
    from equipot.data.lazy import LazyFrames
    from equipot.data.loader import TrainLoader, evaluation_loader
    from equipot.data.module import ASEDataModule
    from equipot.data.quantities import EdgeLengths, NumNeighbors, PerAtomModifier, as_quantity
    from equipot.data.readers import read_atoms
    from equipot.data.splits import check_split
    from equipot.data.statistic_entries import EntryCollector, StatisticEntry, StatisticKind
    from equipot.data.statistics import (
        Count,
        Max,
        Mean,
        MeanAbsolute,
        Metric,
        Min,
        RootMeanSquare,
        StandardDeviation,
    )
    from equipot.data.stats_managers import (
        CommonDataStatisticsManager,
        DataStatisticsManager,
        EnergyOnlyDataStatisticsManager,
        StatsManager,
    )

_HOME = {
    "base": ("DataModule", "name_sets"),
    "census": ("Census",),
    "collection": ("FrameCollection", "collect_frames"),
    "dataset": ("FrameDataset",),
    "frames": ("frame_from_atoms",),
    "lazy": ("LazyFrames",),
    "loader": ("TrainLoader", "evaluation_loader"),
    "module": ("ASEDataModule",),
    "quantities": ("EdgeLengths", "NumNeighbors", "PerAtomModifier", "as_quantity"),
    "readers": ("read_atoms",),
    "splits": ("check_split",),
    "statistic_entries": ("EntryCollector", "StatisticEntry", "StatisticKind"),
    "statistics": ("Count", "Max", "Mean", "MeanAbsolute", "Metric", "Min", "RootMeanSquare", "StandardDeviation"),
    "stats_managers": (
        "CommonDataStatisticsManager",
        "DataStatisticsManager",
        "EnergyOnlyDataStatisticsManager",
        "StatsManager",
    ),
}
_MODULES = ("transforms",)
_PUBLIC = {name: module for module, names in _HOME.items() for name in names}

__all__ = [
    "ASEDataModule",
    "Census",
    "CommonDataStatisticsManager",
    "Count",
    "DataModule",
    "DataStatisticsManager",
    "EdgeLengths",
    "EnergyOnlyDataStatisticsManager",
    "EntryCollector",
    "FrameCollection",
    "FrameDataset",
    "LazyFrames",
    "Max",
    "Mean",
    "MeanAbsolute",
    "Metric",
    "Min",
    "NumNeighbors",
    "PerAtomModifier",
    "RootMeanSquare",
    "StandardDeviation",
    "StatisticEntry",
    "StatisticKind",
    "StatsManager",
    "TrainLoader",
    "as_quantity",
    "check_split",
    "collect_frames",
    "evaluation_loader",
    "frame_from_atoms",
    "name_sets",
    "read_atoms",
]


def __getattr__(name: str) -> Any:
    if name in _PUBLIC:
        return getattr(importlib.import_module(f"equipot.data.{_PUBLIC[name]}"), name)
    if name in _MODULES:
        return importlib.import_module(f"equipot.data.{name}")
    from equipot.plugins import registered_attribute

    return registered_attribute("stats_managers", __name__, name)
