"""Bayesian linear regression of the last layer: covariance, ridge, and calibration."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from equipot.errors import DataError, problem
from equipot_uncertainty._rows import Rows

RIDGES = tuple(10.0**power for power in range(-12, -1))
"""Strengths of the ridge that are tried, relative to the mean of the diagonal of the covariance."""

SMALL = 1e-6
"""That of covariances of so many rows that the ridge hardly matters."""


class Covariance:
    """Sums over the training set: of the features of energies, of atoms and of forces.

    Args:
        num_features: p.
    """

    def __init__(self, num_features: int) -> None:
        shape = (num_features, num_features)
        self.energy = torch.zeros(shape, dtype=torch.float64)
        self.atoms = torch.zeros(shape, dtype=torch.float64)
        self.forces = torch.zeros(shape, dtype=torch.float64)
        self.energy_squares = self.force_squares = 0.0
        self.energies = self.force_components = 0

    def add(self, rows: Rows) -> None:
        """Add frames; rows of forces as far as there are any."""
        features, errors = rows.labelled()
        self.energy += features.T @ features
        self.energy_squares += float(errors.square().sum())
        self.energies += len(errors)
        self.atoms += rows.atoms.T @ rows.atoms
        features, errors = rows.labelled_forces()
        self.forces += features.T @ features
        self.force_squares += float(errors.square().sum())
        self.force_components += len(errors)

    def weighted(self) -> torch.Tensor:
        """The sum of those of energies and forces, each divided by the mean square of the model's errors, [p, p].

        These are the precisions with which energies and forces determine the weights.
        """
        total = torch.zeros_like(self.energy)
        for matrix, squares, number in (
            (self.energy, self.energy_squares, self.energies),
            (self.forces, self.force_squares, self.force_components),
        ):
            if number and squares > 0.0:
                total += matrix * (number / squares)
        return total


@dataclass(frozen=True)
class Posterior:
    """``factor`` W with std = alpha |f W| for features f, before the calibration; what it was made with."""

    factor: torch.Tensor
    """float64 [p, p]."""
    ridge: float
    """Relative to the mean of the diagonal of the covariance."""

    def squares(self, features: torch.Tensor) -> torch.Tensor:
        """Variances before the calibration of rows of features, [n, p] to [n]."""
        return (features @ self.factor).square().sum(1)


def posterior(covariance: torch.Tensor, ridge: float) -> Posterior:
    """The posterior with a ridge.

    Args:
        covariance: C, [p, p].
        ridge: Relative strength.

    Raises:
        ArithmeticError: If it is too weak for the rounding of the covariance.
    """
    size = covariance.shape[0]
    strength = ridge * float(covariance.diagonal().mean())
    lower, failed = torch.linalg.cholesky_ex(covariance + strength * torch.eye(size, dtype=covariance.dtype))
    if int(failed):
        raise ArithmeticError(f"the covariance is not positive with a ridge of {ridge:g}")
    # f^T (L L^T)^-1 f = |L^-1 f|^2, as a row: f^T L^-T
    inverse = torch.linalg.solve_triangular(lower, torch.eye(size, dtype=covariance.dtype), upper=False)
    return Posterior(inverse.T.contiguous(), ridge)


def best_posterior(covariance: torch.Tensor, features: torch.Tensor, errors: torch.Tensor) -> Posterior:
    """The posterior whose ridge makes the errors of a validation set most likely, once it is calibrated to them.

    Args:
        covariance: C, [p, p].
        features: Of the energies of the validation set, [n, p].
        errors: [n].

    Raises:
        DataError: If no ridge gives finite uncertainties.
    """
    best: tuple[float, Posterior] | None = None
    for ridge in RIDGES:
        try:
            found = posterior(covariance, ridge)
        except ArithmeticError:  # too weak for the rounding of the covariance
            continue
        squares = found.squares(features)
        alpha = calibrated(squares, errors)
        value = 2.0 * math.log(alpha) + float(squares.log().mean()) if 0.0 < alpha < math.inf else math.nan
        if math.isfinite(value) and (best is None or value < best[0]):
            best = (value, found)
    if best is None:
        what = "its frames have no features, or errors of exactly 0"
        raise DataError(problem("validation set", what, hint="give frames with neighbours within r_max"))
    return best[1]


def calibrated(squares: torch.Tensor, errors: torch.Tensor) -> float:
    """The factor alpha on standard deviations with which the root mean square of error / std is 1.

    Args:
        squares: Variances before the calibration, [n].
        errors: [n].
    """
    return math.sqrt(float((errors.square() / squares).mean()))


@dataclass(frozen=True)
class Seen:
    """Errors with their variances before the calibration, in one set."""

    squares: torch.Tensor
    """[n]."""
    errors: torch.Tensor
    """[n]."""
    frames: int
    """From which they are; errors of forces in one frame are not independent."""

    def mean_square_z(self) -> float:
        """The mean of error² / variance."""
        return calibrated(self.squares, self.errors) ** 2


@dataclass(frozen=True)
class Scale:
    """The calibration of one kind of standard deviations."""

    alpha: float
    with_training: bool
    """Whether errors on training frames count, too."""


def common_scale(validation: Seen, training: Seen) -> Scale:
    """Calibrate with the validation set and, where the model is not better on them, with training frames as well.

    A validation set is small and has often chosen the checkpoint, which makes errors on it too small. Errors on
    training frames are not chosen, but smaller than on new frames if the model has learnt them by heart. So they count
    as long as this cannot be seen: unless their mean square z is smaller than that of the validation set by more than
    one standard error. From n frames the scale of new normal errors is known as that of a t distribution of n degrees,
    so that their mean square z is expected to be 1 with a factor of n / (n - 2).

    Args:
        validation: At least three frames.
        training: Maybe none.
    """
    value, count, with_training = validation.mean_square_z(), validation.frames, False
    if training.frames:
        known = training.mean_square_z()
        standard_error = math.sqrt(2.0 / count + 2.0 / training.frames)
        if with_training := known > value * (1.0 - standard_error):
            total = count + training.frames
            value = (count * value + training.frames * known) / total
            count = total
    return Scale(math.sqrt(value * count / (count - 2)), with_training)
