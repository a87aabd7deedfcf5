"""Numbers that several checks need: outliers, and energies without the part that is linear in the composition."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from equipot.data.checks._survey import FloatArray

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


def composition_residuals(energies: FloatArray, counts: Sequence[Mapping[int, int]]) -> FloatArray:
    """Energies per atom without the part that is linear in the composition, which outliers move little.

    The fit minimises squares of small and absolute values of large residuals, by weights.

    Args:
        energies: eV, shape [n_frames].
        counts: Atomic number to number of atoms, of each frame.

    Returns:
        eV/atom, shape [n_frames].
    """
    matrix, _ = composition_matrix(counts)
    atoms = matrix.sum(axis=1)
    shares, per_atom = matrix / atoms[:, None], energies / atoms
    weights, residuals = np.ones(len(energies)), per_atom
    for _ in range(_ROUNDS):
        root = np.sqrt(weights)
        fitted = np.linalg.lstsq(shares * root[:, None], per_atom * root, rcond=1e-10)[0]
        residuals = per_atom - shares @ fitted
        distance = np.abs(residuals - np.median(residuals))
        weights = 1.0 / np.maximum(1.0, distance / max(2 * 1.4826 * float(np.median(distance)), 1e-12))
    return np.asarray(residuals, dtype=np.float64)
