"""The manager and its metric."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch

from equipot.data import (
    EntryCollector,
    Mean,
    NumNeighbors,
    Reduction,
    StatisticKind,
    StatsManager,
)
from equipot.data.options import StatisticEntry

_BINS_PER_OCTAVE = 256
_LOWEST, _HIGHEST = -60, 60
_NORMAL_MEDIAN = 0.6744897501960817
"""Median of |z| for a normal z of standard deviation 1."""


class MedianScale(Reduction):
    """Median of the absolute values over 0.6745: the standard deviation, if they are normal.

    Values are counted in bins of equal width on a logarithmic scale, so that memory is bounded and
    order does not matter; the result is exact to 0.3 %.
    """

    def __init__(self) -> None:
        self._counts = torch.zeros((_HIGHEST - _LOWEST) * _BINS_PER_OCTAVE, dtype=torch.int64)
        self._nan = False

    def update(self, values: torch.Tensor) -> None:
        """Count the values."""
        flat = values.detach().to(torch.float64).reshape(-1).abs()
        self._nan = self._nan or bool(flat.isnan().any())
        logarithms = flat.nan_to_num().log2().clamp(_LOWEST, _HIGHEST - 1.0 / _BINS_PER_OCTAVE)
        bins = ((logarithms - _LOWEST) * _BINS_PER_OCTAVE).floor().to(torch.int64)
        self._counts += torch.bincount(bins, minlength=self._counts.shape[0])

    def compute(self) -> float:
        """The scale; nan before the first value, or if one was nan."""
        total = int(self._counts.sum())
        if self._nan or total == 0:
            return math.nan
        middle = int(torch.searchsorted(self._counts.cumsum(0), (total + 1) // 2))
        return float(2.0 ** (_LOWEST + (middle + 0.5) / _BINS_PER_OCTAVE)) / _NORMAL_MEDIAN


class RobustStatisticsManager(StatsManager):
    """Scales of the forces that outliers do not move.

    ``forces_median_scale`` and ``per_type_forces_median_scale``, to be used where others use
    ``forces_rms``; ``num_neighbors_mean``.

    Args:
        type_names: Type names; the model's by default.
    """

    def __init__(self, type_names: list[str] | None = None) -> None:
        self.type_names = None if type_names is None else tuple(type_names)
        entries = (
            StatisticEntry(name="num_neighbors_mean", field=NumNeighbors(), metric=Mean()),
            StatisticEntry(name="forces_median_scale", field="forces", metric=MedianScale()),
            StatisticEntry(name="per_type_forces_median_scale", field="forces", metric=MedianScale(), per_type=True),
        )
        self._entries = {entry.name: entry for entry in entries}

    def names(self) -> dict[str, StatisticKind]:
        """Name and kind of each statistic."""
        return {name: entry.kind for name, entry in self._entries.items()}

    def collector(self, name: str, type_names: Sequence[str]) -> EntryCollector:
        """A new collector for the name."""
        return EntryCollector(self._entries[name], type_names)
