"""Metrics over values that come in pieces, in float64.

Every metric takes all scalars of what it is given: forces count as three entries an atom, so their
root mean square is per component.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import ClassVar

import torch

from equipot.errors import ConfigError, did_you_mean, problem


class Metric(ABC):
    """One number out of many values; ``nan`` before the first value."""

    @abstractmethod
    def update(self, values: torch.Tensor) -> None:
        """Take in values of any shape."""

    @abstractmethod
    def compute(self) -> float:
        """The number so far."""

    @abstractmethod
    def fresh(self) -> Metric:
        """A metric with the same options and no values."""


class _Moments(Metric):
    """Running count, mean and sum of squared deviations (Chan, Golub, LeVeque 1983)."""

    def __init__(self) -> None:
        self._count, self._mean, self._squares = 0, 0.0, 0.0

    def update(self, values: torch.Tensor) -> None:
        """Merge the moments of the new values."""
        flat = self._prepared(values.detach().to(torch.float64).reshape(-1))
        count = flat.numel()
        if count == 0:
            return
        mean = float(flat.mean())
        squares = float(((flat - mean) ** 2).sum())
        total = self._count + count
        step = mean - self._mean
        self._mean += step * count / total
        self._squares += squares + step * step * self._count * count / total
        self._count = total

    def _prepared(self, values: torch.Tensor) -> torch.Tensor:
        return values

    def fresh(self) -> Metric:
        """The same kind of metric without values."""
        return type(self)()


class Mean(_Moments):
    """Arithmetic mean."""

    def compute(self) -> float:
        """``sum(x) / n``."""
        return self._mean if self._count else math.nan


class MeanAbsolute(Mean):
    """Mean of the absolute values."""

    def _prepared(self, values: torch.Tensor) -> torch.Tensor:
        return values.abs()


class RootMeanSquare(_Moments):
    """Root of the mean square."""

    def compute(self) -> float:
        """``sqrt(sum(x**2) / n)``."""
        return math.sqrt(self._mean) if self._count else math.nan

    def _prepared(self, values: torch.Tensor) -> torch.Tensor:
        return values.square()


class StandardDeviation(_Moments):
    """Standard deviation.

    Args:
        squared: Give the variance instead.
        unbiased: Divide by n - 1 instead of n.
    """

    def __init__(self, squared: bool = False, unbiased: bool = True) -> None:  # noqa: FBT001, FBT002 - option names of the field
        super().__init__()
        self.squared, self.unbiased = squared, unbiased

    def compute(self) -> float:
        """``sqrt(sum((x - mean)**2) / (n - 1))``; ``nan`` for a single value if unbiased."""
        divisor = self._count - 1 if self.unbiased else self._count
        if divisor < 1:
            return math.nan
        variance = self._squares / divisor
        return variance if self.squared else math.sqrt(variance)

    def fresh(self) -> Metric:
        """The same options without values."""
        return StandardDeviation(self.squared, self.unbiased)


class _Extreme(Metric):
    """Smallest or largest value.

    Args:
        abs: Of the absolute values.
    """

    _sign: ClassVar[float]

    def __init__(self, abs: bool = False) -> None:  # noqa: A002, FBT001, FBT002 - option names of the field
        self.abs = abs
        self._best = math.inf

    def update(self, values: torch.Tensor) -> None:
        """Compare with the values so far."""
        flat = values.detach().to(torch.float64).reshape(-1)
        flat = flat.abs() if self.abs else flat
        if flat.numel():
            found = float((self._sign * flat).min())
            self._best = found if math.isnan(found) else min(self._best, found)

    def compute(self) -> float:
        """The value."""
        return math.nan if math.isinf(self._best) else self._sign * self._best

    def fresh(self) -> Metric:
        """The same options without values."""
        return type(self)(self.abs)


class Min(_Extreme):
    """Smallest value.

    Args:
        abs: Of the absolute values.
    """

    _sign = 1.0


class Max(_Extreme):
    """Largest value.

    Args:
        abs: Of the absolute values.
    """

    _sign = -1.0


class Count(Metric):
    """Number of scalars."""

    def __init__(self) -> None:
        self._count = 0

    def update(self, values: torch.Tensor) -> None:
        """Count."""
        self._count += values.numel()

    def compute(self) -> float:
        """The number, 0 if there were none."""
        return float(self._count)

    def fresh(self) -> Metric:
        """Without values."""
        return Count()


METRICS: dict[str, type[Metric]] = {
    metric.__name__: metric for metric in (Mean, MeanAbsolute, RootMeanSquare, StandardDeviation, Min, Max, Count)
}


def as_metric(metric: str | Metric) -> Metric:
    """A metric's name stands for it with default options.

    Raises:
        ConfigError: If the name is unknown or the object is no metric.
    """
    if isinstance(metric, Metric):
        return metric
    if metric in METRICS:
        return METRICS[metric]()
    hint = did_you_mean(str(metric), METRICS) or f"metrics: {', '.join(METRICS)}"
    raise ConfigError(problem("statistics.metric", "unknown metric", got=metric, hint=hint))
