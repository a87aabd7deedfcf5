"""Errors as a power law of the number of frames, and what more frames are expected to give.

.. math:: e(n) = a n^{-b} + c

Nothing is claimed beyond what the points tell: instead of one curve there are some thousand, as many of each as its
probability is given the points (Bayes' rule on a grid of b and c; a and the scatter of the points are integrated
exactly). Ranges hold nine of ten of these curves. Before the points are seen, c = 0 is as probable as all other values
together, b is anything between 0 and 2, and the scatter is some 5 %.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

FEWEST_SIZES, LEAST_SPAN = 3, 3.0
"""Different numbers of frames, and ratio of the largest to the smallest, without which no curve is fitted."""

LEAST_FALL = 1.1
"""Ratio of the errors with the smallest and the largest number of frames below which there is nothing to tell."""

MOST_SCATTER = 0.25
"""Root mean square of the relative distances of the points from the curve, above which it says nothing."""

FARTHEST = 10.0
"""So many times the largest number of frames is looked ahead at most."""

RANGE = (0.05, 0.5, 0.95)
"""Quantiles that are given: nine of ten curves lie between the first and the last."""

_STEEPEST, _STEPS, _FLOORS, _CURVES = 2.0, 100, 40, 4000
_DRAWN = 31
"""Points of the curve in a picture."""

_SCATTER, _SCATTER_POINTS = 0.05, 2.0
"""Expected scatter of the points, which counts as much as this number of points."""


class MeaninglessError(Exception):
    """Points through which no power law goes that could be extrapolated; the message says why, as a sentence."""


class Range(NamedTuple):
    """What nine of ten curves say, and the one in the middle; infinite where a curve never gets there."""

    low: float
    middle: float
    high: float


@dataclass(frozen=True)
class PowerLaw:
    """Curves through points."""

    sizes: tuple[int, ...]
    """Different numbers of frames of the points, ascending."""
    scale: Array
    """Error of each curve with the largest number of frames."""
    exponent: Array
    """b of each curve."""
    floor: Array
    """Part of ``scale`` that is c."""
    scatter: float
    """Root mean square of the relative distances of the points from the most probable curve."""

    def error(self, frames: float) -> Range:
        """The error that a training with a number of frames is expected to have.

        Args:
            frames: At most ``FARTHEST`` times the largest number of the points.

        Raises:
            MeaninglessError: If it is more.
        """
        if frames > FARTHEST * self.sizes[-1] * (1.0 + 1e-9):
            what = f"{frames:.0f} frames are more than {FARTHEST:.0f} times the largest number that was tried"
            raise MeaninglessError(f"{what} ({self.sizes[-1]}).")
        return _range(self.scale * ((1.0 - self.floor) * (frames / self.sizes[-1]) ** -self.exponent + self.floor))

    def frames(self, target: float) -> Range:
        """The number of frames with which an error is reached; infinite beyond what is looked ahead.

        Args:
            target: The error, in the unit of the points.
        """
        with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
            part = (target / self.scale - self.floor) / (1.0 - self.floor)
            needed = np.where(part > 0.0, self.sizes[-1] * np.abs(part) ** (-1.0 / self.exponent), math.inf)
        needed[needed > FARTHEST * self.sizes[-1]] = math.inf
        return _range(needed)

    def to_dict(self, targets: Sequence[float] = ()) -> dict[str, Any]:
        """Everything in plain containers; infinity is None.

        Args:
            targets: Errors for which numbers of frames are wanted.
        """
        largest = self.sizes[-1]
        ahead = [round(factor * largest) for factor in (2, 4, FARTHEST)]
        drawn = np.geomspace(self.sizes[0], FARTHEST * largest, _DRAWN).tolist()
        return {
            "formula": "error = a * frames ** -b + c; low and high: nine of ten curves",
            "b": _plain(_range(self.exponent)),
            "c": _plain(_range(self.scale * self.floor)),
            "scatter": self.scatter,
            "ahead": [{"frames": size, **_plain(self.error(size))} for size in ahead],
            "targets": [{"error": target, "frames": _plain(self.frames(target))} for target in targets],
            "curve": [{"frames": size, **_plain(self.error(size))} for size in drawn],
        }


def fit_power_law(frames: Sequence[int], errors: Sequence[float]) -> PowerLaw:
    """Find the curves that may have given the points.

    Args:
        frames: Number of frames of each point; the same may be there several times.
        errors: Of each point, in any unit.

    Raises:
        MeaninglessError: If an extrapolation would say nothing.

    Example:
        >>> law = fit_power_law([100, 200, 400, 800], [40.0, 28.3, 20.0, 14.1])
        >>> law.error(1600).low < 10.0 < law.error(1600).high
        True
    """
    sizes = tuple(sorted(set(frames)))
    _require(sizes, errors)
    found = _Grid(np.asarray(frames, dtype=float) / sizes[-1], np.log(np.asarray(errors, dtype=float)))
    if found.scatter > MOST_SCATTER:
        what = f"The errors scatter by {found.scatter:.0%} about any curve"
        raise MeaninglessError(f"{what}; more seeds or more time may make that less.")
    law = PowerLaw(sizes, *found.curves(), found.scatter)
    fall = law.error(sizes[0]).middle / law.error(sizes[-1]).middle
    if fall < LEAST_FALL:
        what = f"From {sizes[0]} to {sizes[-1]} frames the errors fall by less than {LEAST_FALL - 1.0:.0%}"
        raise MeaninglessError(f"{what}; more time or a larger model may help, with these more frames will not.")
    return law


class _Grid:
    """Exponents and floors with their probabilities.

    Args:
        x: Number of frames of each point as a part of the largest one.
        y: Logarithms of the errors.
    """

    def __init__(self, x: Array, y: Array) -> None:
        exponents = _STEEPEST * (np.arange(_STEPS) + 0.5) / _STEPS
        floors = np.concatenate([[0.0], (np.arange(_FLOORS) + 0.5) / _FLOORS])
        prior = np.concatenate([[0.5], np.full(_FLOORS, 0.5 / _FLOORS)])
        self.points = len(y)
        self.exponents, self.floors = (one.ravel() for one in np.meshgrid(exponents, floors, indexing="ij"))
        left = y - np.log((1.0 - self.floors)[:, None] * x[None, :] ** -self.exponents[:, None] + self.floors[:, None])
        self.means = left.mean(axis=1)
        squares = ((left - self.means[:, None]) ** 2).sum(axis=1)
        self.known = _SCATTER_POINTS * _SCATTER**2 + squares
        self.freedom = _SCATTER_POINTS + self.points - 1.0
        logs = -0.5 * self.freedom * np.log(self.known) + np.log(np.tile(prior, _STEPS))
        weights = np.exp(logs - logs.max())
        self.weights = weights / weights.sum()
        self.scatter = math.sqrt(float(squares[int(np.argmax(logs))]) / max(self.points - 2, 1))

    def curves(self) -> tuple[Array, Array, Array]:
        """Scale, exponent and floor of curves, which occur as often as they are probable."""
        rng = np.random.default_rng(0)
        drawn = rng.choice(len(self.weights), size=_CURVES, p=self.weights)
        sigma = np.sqrt(self.known[drawn] / rng.chisquare(self.freedom, size=_CURVES))
        # a training with other frames scatters as these did, besides what is not known of the curve
        sigma = sigma * math.sqrt(1.0 + 1.0 / self.points)
        scale = np.exp(self.means[drawn] + sigma * rng.standard_normal(_CURVES))
        return scale, self.exponents[drawn], self.floors[drawn]


def _require(sizes: Sequence[int], errors: Sequence[float]) -> None:
    if not all(0.0 < one < math.inf for one in errors):
        raise MeaninglessError("Some errors are zero or not finite.")
    if len(sizes) < FEWEST_SIZES:
        raise MeaninglessError(f"{FEWEST_SIZES} different numbers of frames are needed, there are {len(sizes)}.")
    if sizes[-1] < LEAST_SPAN * sizes[0]:
        what = f"The largest number of frames ({sizes[-1]}) is less than {LEAST_SPAN:.0f} times the smallest"
        raise MeaninglessError(f"{what} ({sizes[0]}).")


def _range(values: Array) -> Range:
    """Quantiles that are values which occur, so that infinite ones do not spread."""
    low, middle, high = np.quantile(values, RANGE, method="inverted_cdf")
    return Range(float(low), float(middle), float(high))


def _plain(found: Range) -> Mapping[str, float | None]:
    return {name: value if math.isfinite(value) else None for name, value in found._asdict().items()}
