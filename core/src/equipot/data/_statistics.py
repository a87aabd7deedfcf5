"""Reductions of many values, which arrive in pieces, to one number in float64.

Each scalar counts as one value: forces have three per atom, so their root mean square is per component. Where the data
give weights w, means are sum(w x) / sum(w). Configs name a reduction as the ``metric`` of a statistic.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import Any, ClassVar

import torch

from equipot.errors import ConfigError, unknown


class Reduction(ABC):
    """Computes one number from many values; ``nan`` before the first value."""

    weighted: ClassVar[bool] = False
    """Whether ``update`` takes the weight of each row as a second argument, float64, shape [n_rows]."""

    @abstractmethod
    def update(self, values: torch.Tensor) -> None:
        """Add values; the first axis of any shape is the row."""

    @abstractmethod
    def compute(self) -> float:
        """The number for the values so far."""

    def options(self) -> dict[str, Any]:
        """The arguments of the constructor: all public attributes."""
        return {key: value for key, value in sorted(vars(self).items()) if not key.startswith("_")}

    def fresh(self) -> Reduction:
        """A new reduction with the same options and without values."""
        return type(self)(**self.options())


class _Moments(Reduction):
    """Running sum of weights, mean and sum of squared deviations (Chan, Golub, LeVeque 1983)."""

    weighted = True

    def __init__(self) -> None:
        self._count = 0
        self._total, self._mean, self._squares = 0.0, 0.0, 0.0

    def update(self, values: torch.Tensor, weights: torch.Tensor | None = None) -> None:
        """Merge the moments of new values."""
        flat = self._prepared(values.detach().to(torch.float64).reshape(-1))
        if (count := flat.numel()) == 0:
            return
        if weights is None:
            weight, mean = float(count), float(flat.mean())
            squares = float(((flat - mean) ** 2).sum())
        else:
            each = weights.repeat_interleave(count // len(weights))
            weight = float(each.sum())
            mean = float((each * flat).sum()) / weight
            squares = float((each * (flat - mean) ** 2).sum())
        total = self._total + weight
        step = mean - self._mean
        self._mean += step * weight / total
        self._squares += squares + step * step * self._total * weight / total
        self._total, self._count = total, self._count + count

    def _prepared(self, values: torch.Tensor) -> torch.Tensor:
        return values


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
        squared: Compute the variance instead.
        unbiased: Divide by n - 1 instead of n.
    """

    def __init__(self, squared: bool = False, unbiased: bool = True) -> None:  # noqa: FBT001, FBT002 - option names of the field
        super().__init__()
        self.squared, self.unbiased = squared, unbiased

    def compute(self) -> float:
        """``sqrt(sum((x - mean)**2) / (n - 1))``; ``nan`` for a single value if unbiased.

        With weights, ``sum(w (x - mean)**2) / sum(w)`` takes the place of the mean square, times ``n / (n - 1)``.
        """
        divisor = self._count - 1 if self.unbiased else self._count
        if divisor < 1:
            return math.nan
        variance = self._squares / (self._total / self._count) / divisor
        return variance if self.squared else math.sqrt(variance)


class Min(Reduction):
    """Smallest value.

    Args:
        abs: Take absolute values first.
    """

    _sign: ClassVar[float] = 1.0

    def __init__(self, abs: bool = False) -> None:  # noqa: A002, FBT001, FBT002 - option names of the field
        self.abs = abs
        self._best = math.inf

    def update(self, values: torch.Tensor) -> None:
        """Compare new values with the smallest or largest so far."""
        flat = values.detach().to(torch.float64).reshape(-1)
        flat = flat.abs() if self.abs else flat
        if flat.numel():
            found = float((self._sign * flat).min())
            self._best = found if math.isnan(found) else min(self._best, found)

    def compute(self) -> float:
        """The smallest or largest value so far."""
        return math.nan if math.isinf(self._best) else self._sign * self._best


class Max(Min):
    """Largest value.

    Args:
        abs: Take absolute values first.
    """

    _sign = -1.0


class Count(_Moments):
    """Number of values, 0 before the first."""

    def compute(self) -> float:
        """``n``."""
        return float(self._count)


REDUCTIONS: dict[str, type[Reduction]] = {
    one.__name__: one for one in (Mean, MeanAbsolute, RootMeanSquare, StandardDeviation, Min, Max, Count)
}


def as_reduction(metric: str | Reduction) -> Reduction:
    """The reduction itself, or the one with that name and default options."""
    if isinstance(metric, Reduction):
        return metric
    if metric in REDUCTIONS:
        return REDUCTIONS[metric]()
    raise ConfigError(unknown("statistics.metric", str(metric), REDUCTIONS, "metric"))
