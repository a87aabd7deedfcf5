"""What standard deviations are worth: errors in units of them, coverage, calibration curve, and separation of sets."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

LEVELS = tuple(round(0.1 * step, 1) for step in range(1, 10))
"""Of the calibration curve: which share of errors of a normal distribution is within an interval."""


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """How errors compare with their standard deviations, ``z = error / std``."""

    number: int
    """Of values."""
    rms_z: float
    """1 if the uncertainties have the right size."""
    within_1: float
    """Share of errors within one standard deviation; 0.683 for normal distributions."""
    within_2: float
    """Within two; 0.954."""
    curve: tuple[tuple[float, float], ...]
    """For each of ``LEVELS``, the share of errors within the interval that has this share of a normal distribution."""
    spearman: float | None
    """Rank correlation of the size of errors with the standard deviations; None for fewer than three values."""
    rmse: float
    """Root mean square of the errors, in their unit."""
    rms_std: float
    """Of the standard deviations, in the same unit."""

    @classmethod
    def of(cls, errors: Array, stds: Array) -> Calibration:
        """Compare errors with standard deviations.

        Args:
            errors: Shape [n], at least one.
            stds: Shape [n], positive where errors are not 0.
        """
        with np.errstate(over="ignore"):  # infinite where the standard deviation is 0, and then in the mean
            z = np.abs(errors) / np.maximum(stds, np.finfo(float).tiny)
            rms_z = float(np.sqrt(np.mean(z**2)))
        within = [(level, float(np.mean(z <= _quantile(level)))) for level in LEVELS]
        return cls(
            number=len(errors),
            rms_z=rms_z,
            within_1=float(np.mean(z <= 1.0)),
            within_2=float(np.mean(z <= 2.0)),
            curve=tuple(within),
            spearman=_spearman(np.abs(errors), stds) if len(errors) > 2 else None,
            rmse=float(np.sqrt(np.mean(errors**2))),
            rms_std=float(np.sqrt(np.mean(stds**2))),
        )

    def to_dict(self) -> dict[str, Any]:
        """In plain containers."""
        return asdict(self)


def auroc(inside: Array, outside: Array) -> float:
    """Probability that a value of a second set is larger than one of a first, with ties as one half.

    1: uncertainties separate frames out of the domain from those in it; 0.5: they say nothing.

    Args:
        inside: Uncertainties in the domain, shape [n].
        outside: Out of it, shape [m].

    Example:
        >>> auroc(np.array([1.0, 2.0]), np.array([2.0, 3.0]))
        0.875
    """
    ranks = _ranks(np.concatenate([inside, outside]))[len(inside) :]
    n, m = len(inside), len(outside)
    return float((ranks.sum() - m * (m + 1) / 2) / (n * m))


def _ranks(values: Array) -> Array:
    """Ranks from 1; equal values have the mean of theirs."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    ranks: Array = (last - (counts - 1) / 2.0)[inverse]
    return ranks


def _spearman(a: Array, b: Array) -> float | None:
    first, second = _ranks(a), _ranks(b)
    if first.std() == 0.0 or second.std() == 0.0:
        return None
    return float(np.corrcoef(first, second)[0, 1])


def _quantile(level: float) -> float:
    """The z within which a share of a normal distribution lies, by bisection of its error function."""
    low, high = 0.0, 10.0
    for _ in range(60):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if math.erf(middle / math.sqrt(2.0)) < level else (low, middle)
    return high
