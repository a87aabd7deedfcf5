"""Choose frames of a pool: those with large uncertainties, and those that lie far from each other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt

from equipot.errors import ConfigError, problem

Array = npt.NDArray[np.float64]

By = Literal["uncertainty", "distance", "both"]

MOST_UNCERTAIN = 5
"""By ``both``, the frames that lie far from each other are chosen of this many times as many uncertain ones."""


def choose(number: int, by: By, stds: Array | None, features: Array, known: Array | None = None) -> list[int]:
    """Indices of the chosen frames, in the order in which they were chosen; the same for the same input.

    Args:
        number: How many; at most all.
        by: ``uncertainty``: the largest; ``distance``: farthest points; ``both``: farthest points among the
            ``MOST_UNCERTAIN`` times as many most uncertain ones.
        stds: Uncertainty of each frame, [n]; None is enough for ``distance``.
        features: Mean features of the atoms of each frame, [n, p].
        known: The same of frames that are labelled already, [m, p].

    Raises:
        ConfigError: If the uncertainties are missing.
    """
    everything = list(range(len(features)))
    if by == "distance":
        return farthest_points(features, number, known=known)
    if stds is None:
        hint = "add them with 'equipot uncertainty add', or choose --by distance"
        raise ConfigError(problem("--by", f"{by} needs a model with uncertainties", hint=hint))
    order = sorted(everything, key=lambda index: (-stds[index], index))
    if by == "uncertainty":
        return order[:number]
    candidates = order[: MOST_UNCERTAIN * number]
    return [candidates[index] for index in farthest_points(features[candidates], number, known=known)]


def farthest_points(features: Array, number: int, *, known: Array | None = None) -> list[int]:
    """Farthest-point sampling: each point is the farthest from all that were chosen before.

    The first is the farthest from the known points or, without any, from the mean. Of equal ones the first counts.

    Args:
        features: Points, [n, p].
        number: How many; at most n.
        known: Points that count as chosen, [m, p].

    Returns:
        Indices in order.

    Example:
        >>> farthest_points(np.array([[0.0], [1.0], [8.0], [10.0]]), 3)
        [3, 0, 2]
    """
    chosen: list[int] = []
    if known is not None and len(known):
        distances = np.min([_distances(features, one) for one in known], axis=0)
    else:
        distances = _distances(features, features.mean(0))
    while len(chosen) < min(number, len(features)):
        index = int(np.argmax(distances))
        fresh = _distances(features, features[index])
        distances = np.minimum(distances, fresh) if chosen or known is not None else fresh
        distances[index] = -1.0  # never again, also where all are equal
        for one in chosen:
            distances[one] = -1.0
        chosen.append(index)
    return chosen


def standardized(parts: Sequence[Array]) -> list[Array]:
    """Features in units of their standard deviation over all parts; those that are constant become 0.

    Args:
        parts: Each [n, p].
    """
    whole = np.concatenate(parts)
    mean, std = whole.mean(0), whole.std(0)
    inverse = np.where(std > 1e-12 * max(float(std.max()), 1e-300), 1.0 / np.where(std > 0.0, std, 1.0), 0.0)
    return [(one - mean) * inverse for one in parts]


def _distances(features: Array, point: Array) -> Array:
    found: Array = np.square(features - point).sum(1)
    return found
