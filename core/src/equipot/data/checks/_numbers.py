"""Numbers that several checks need: outliers, and fits to compositions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from equipot.data.checks._block import FloatArray, IntArray

FEWEST = 20
"""Frames of a set in which outliers are looked for."""

GAP = 3.0
"""Factor by which outliers are larger than the next value, if a check has no reason for another one."""

_SHARE = 0.02
_ROUNDS = 12


def apart(values: FloatArray, *, factor: float, least: float) -> list[int]:
    """Indices of the few largest values that a gap separates from all others, largest first.

    Args:
        values: Not negative.
        factor: The smallest of them is larger than the next value by this.
        least: They are larger than this.

    Returns:
        At most 2 % of the values (one of fewer than 50); empty if there is no such gap.
    """
    order = np.argsort(-values)
    most = max(1, int(_SHARE * len(values)))
    for count in range(min(most, len(values) - 1), 0, -1):
        smallest, following = values[order[count - 1]], values[order[count]]
        if smallest > least and smallest > factor * following:
            return [int(index) for index in order[:count]]
    return []


def composition_matrix(counts: Sequence[Mapping[int, int]]) -> tuple[FloatArray, list[int]]:
    """Numbers of atoms by frame and element.

    Args:
        counts: Atomic number to number of atoms, of each frame.

    Returns:
        Shape [n_frames, n_elements], and the atomic numbers of the columns.
    """
    elements = sorted({number for count in counts for number in count})
    column = {number: index for index, number in enumerate(elements)}
    matrix = np.zeros((len(counts), len(elements)))
    for row, count in enumerate(counts):
        for number, atoms in count.items():
            matrix[row, column[number]] = atoms
    return matrix, elements


def composition_fit(shares: FloatArray, values: FloatArray, kind_of: IntArray) -> FloatArray:
    """Values of the elements whose mean over the shares in a composition comes closest, which outliers move little.

    The fit minimises squares of small and absolute values of large residuals, by weights.

    Args:
        shares: Of the elements in each composition, shape [n_compositions, n_elements].
        values: Of frames, e.g. eV/atom, shape [n_frames].
        kind_of: Row in ``shares`` of each frame, shape [n_frames].

    Returns:
        Shape [n_elements]; the smallest values where compositions leave a choice.
    """
    weights: FloatArray = np.ones(len(values))
    fitted = np.zeros(shares.shape[1])
    for _ in range(_ROUNDS):
        total = np.bincount(kind_of, weights, minlength=len(shares))
        mean = np.bincount(kind_of, weights * values, minlength=len(shares)) / np.maximum(total, 1e-300)
        root = np.sqrt(total)
        fitted[:] = np.linalg.lstsq(shares * root[:, None], mean * root, rcond=1e-10)[0]
        residuals = values - (shares @ fitted)[kind_of]
        distance = np.abs(residuals - np.median(residuals))
        weights = 1.0 / np.maximum(1.0, distance / max(2 * 1.4826 * float(np.median(distance)), 1e-12))
    return fitted


def deviation(values: FloatArray) -> float:
    """Standard deviation of what is not an outlier, from the median absolute deviation.

    Args:
        values: Shape [n].
    """
    return 1.4826 * float(np.median(np.abs(values - np.median(values)))) + 1e-12
