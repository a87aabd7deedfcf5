"""Energies of types from least squares with a ridge, whose strength follows from the data."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

RIDGES = tuple(10.0 ** (power / 2) for power in range(-16, 5))
"""Strengths that are tried, relative to one frame of one element."""

ROUNDING = 1e-24
"""Squares are not known better than to this part of the largest."""


def ridge_energies(
    counts: Floats, weights: Floats, energies: Floats, squares: Floats, frames: int, mean: float
) -> Floats:
    """Energies of types that fit energies per atom and stay close to the mean, with the most likely ridge.

    Args:
        counts: Atoms of each type of each composition, shape [n, n_types].
        weights: Sum of the weights of the frames of each composition, shape [n].
        energies: Mean energy of these frames, shape [n].
        squares: Weighted sum of the squares by which they differ from it, shape [n].
        frames: Number of all frames.
        mean: Energy per atom that types of which nothing is known get.

    Returns:
        By type, shape [n_types].

    Source: marginal likelihood, MacKay (1992), doi:10.1162/neco.1992.4.3.415.
    """
    sizes, roots = counts.sum(axis=1), np.sqrt(weights)
    left, values, right = np.linalg.svd(counts * (roots / sizes)[:, None], full_matrices=False)
    wanted = (energies / sizes - mean) * roots
    projected = left.T @ wanted
    every = float(np.square(wanted).sum())
    rest = every - float(np.square(projected).sum()) + float((squares / sizes**2).sum())

    def unlikeliness(strength: float) -> float:
        """Minus twice the logarithm of the likelihood with the best variance for this ratio, up to a constant."""
        unfitted = max(rest, ROUNDING * every) + float((projected**2 * strength / (values**2 + strength)).sum())
        return frames * float(np.log(max(unfitted, ROUNDING))) + float(np.log1p(values**2 / strength).sum())

    best = min(RIDGES, key=unlikeliness)
    solved: Floats = mean + right.T @ (values / (values**2 + best) * projected)
    return solved
