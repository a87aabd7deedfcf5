"""Fits of the probe to forces, and to energies and forces together; every frame is predicted from the others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from equipot.data.checks._numbers import deviation
from equipot.data.checks._probe import Features, FloatArray, IntArray, Structure

_RIDGE = 1e-4
_FOLDS = 4
_OUT = 8.0
"""Energies further off, in robust standard deviations, take no part in the next round: even with little weight they
would bend the prediction for a frame that alone is like them."""


@dataclass(frozen=True)
class ForceFit:
    """A fit to forces alone; each frame is predicted from the others."""

    explained: float
    """Explained part of the forces' variance, frames weighted by their size of force; 1: all."""
    predicted: list[FloatArray]
    """eV/Å, shape [3 * n_atoms] for each frame."""
    coefficients: FloatArray
    """From all frames."""


def fit_forces(features: Sequence[Features], forces: Sequence[FloatArray]) -> ForceFit:
    """Fit forces in four folds: each fourth of the frames is predicted by a fit to the rest.

    Args:
        features: Of each frame.
        forces: eV/Å, shape [n_atoms, 3] for each frame.
    """
    weights = force_weights(forces)
    folds = [_normal(features, forces, weights, fold) for fold in range(_FOLDS)]
    gram, right = sum(fold[0] for fold in folds), sum(fold[1] for fold in folds)
    scale = np.sqrt(np.diag(gram)) + 1e-12
    held_out = [_solve(gram - one, right - other, scale) for one, other in folds]
    predicted = [one.forces @ held_out[index % _FOLDS] for index, one in enumerate(features)]
    explained = explained_forces(predicted, forces, weights)
    return ForceFit(explained, predicted, _solve(gram, right, scale))


def explained_forces(predicted: Sequence[FloatArray], forces: Sequence[FloatArray], weights: FloatArray) -> float:
    """Explained part of the forces' variance; no frame counts for more than all of its own variance."""
    missed = [float(((guess - given.ravel()) ** 2).sum()) for guess, given in zip(predicted, forces, strict=True)]
    total = np.array([float((given**2).sum()) for given in forces])
    return 1.0 - float(weights @ np.minimum(missed, total)) / max(float(weights @ total), 1e-300)


def force_weights(forces: Sequence[FloatArray]) -> FloatArray:
    """One over the mean square of each frame's forces, which no frame dominates; shape [n_frames]."""
    squares = np.array([float((one**2).mean()) for one in forces])
    return 1.0 / (squares + 0.01 * np.median(squares) + 1e-30)


def _normal(
    features: Sequence[Features], forces: Sequence[FloatArray], weights: FloatArray, fold: int
) -> tuple[FloatArray, FloatArray]:
    size = len(features[0].energy)
    gram, right = np.zeros((size, size)), np.zeros(size)
    for index in range(fold, len(features), _FOLDS):
        rows = features[index].forces
        gram += weights[index] * rows.T @ rows
        right += weights[index] * rows.T @ forces[index].ravel()
    return gram, right


@dataclass(frozen=True)
class JointFit:
    """A fit to energies and forces together; each frame's energy is predicted from the others."""

    energies: float
    """Explained part of the variance of the energies, beyond what the composition explains."""
    forces: float
    """Explained part of the forces."""
    residuals: FloatArray
    """Energy minus prediction over the square root of the number of atoms, eV, shape [n_frames]."""

    @property
    def score(self) -> float:
        """Grows with both explained parts, the last 2 % aside, which depend on chance."""
        return -float(np.log(1.0 - self.energies + 0.02) + np.log(1.0 - self.forces + 0.02))


class JointProbe:
    """Fits to energies, which are divided by a factor, and forces together.

    Args:
        features: Of each frame.
        structures: The same frames, all with energy and forces.
        elements: Atomic numbers.
    """

    def __init__(self, features: Sequence[Features], structures: Sequence[Structure], elements: IntArray) -> None:
        self._features = features
        self._forces = [one.forces for one in structures if one.forces is not None]
        self._weights = force_weights(self._forces)
        self._folds = [_normal(features, self._forces, self._weights, fold) for fold in range(_FOLDS)]
        self._fold_of = np.arange(len(features)) % _FOLDS
        size = np.array([len(one.numbers) for one in structures], np.float64)
        root = np.sqrt(size)[:, None]
        self._known = _composition_columns([one.numbers for one in structures], elements) / root
        energies = np.array([one.energy for one in structures], np.float64)[:, None]
        rows = np.hstack([energies, np.array([one.energy for one in features])]) / root
        self._rows = rows - self._known @ np.linalg.lstsq(self._known, rows, rcond=1e-9)[0]
        self.freedom = len(features) - int(np.linalg.matrix_rank(self._known))
        """Number of frames beyond those that fix the energies of compositions."""

    def _beyond_composition(self, weights: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Energies and columns without what a fit to the composition explains in frames of these weights."""
        root = np.sqrt(weights)[:, None]
        rows = self._rows - self._known @ np.linalg.lstsq(root * self._known, root * self._rows, rcond=1e-9)[0]
        return rows[:, 0], rows[:, 1:]

    def fit(self, factor: float = 1.0, *, rounds: int = 4, energy_weight: float = 3.0) -> JointFit:
        """Fit with energies divided by ``factor``; outliers lose weight in each round.

        Args:
            factor: Unit of the forces over that of the energies.
            rounds: Number of fits.
            energy_weight: Of one frame's energy against one component of its forces.
        """
        weights = np.ones(len(self._rows))
        for _ in range(rounds):
            energies, columns = self._beyond_composition(weights)
            energies = energies / factor
            spread = float(weights @ energies**2 / weights.sum()) + 1e-300
            folds = self._with_energies(energies, columns, energy_weight * weights / spread)
            gram, right = sum(fold[0] for fold in folds), sum(fold[1] for fold in folds)
            scale = np.sqrt(np.diag(gram)) + 1e-12
            held_out = np.array([_solve(gram - one, right - other, scale) for one, other in folds])
            residuals = energies - (columns * held_out[self._fold_of]).sum(axis=1)
            off = np.abs(residuals - np.median(residuals)) / deviation(residuals)
            trust = 3.0 / np.maximum(3.0, off)
            weights = np.where(off < _OUT, trust, 0.0)
        explained = 1.0 - float(trust @ residuals**2) / max(float(trust @ energies**2), 1e-300)
        return JointFit(explained, self._explained_forces(held_out), residuals * factor)

    def _with_energies(
        self, energies: FloatArray, columns: FloatArray, weights: FloatArray
    ) -> list[tuple[FloatArray, FloatArray]]:
        """Normal equations of each fold, those of the forces with those of the energies."""
        folds = []
        for fold, (gram, right) in enumerate(self._folds):
            mine = self._fold_of == fold
            weighted = weights[mine, None] * columns[mine]
            folds.append((gram + weighted.T @ columns[mine], right + weighted.T @ energies[mine]))
        return folds

    def _explained_forces(self, held_out: FloatArray) -> float:
        predicted = [one.forces @ held_out[fold] for one, fold in zip(self._features, self._fold_of, strict=True)]
        return explained_forces(predicted, self._forces, self._weights)


def _composition_columns(numbers: Sequence[IntArray], elements: IntArray) -> FloatArray:
    """A column for each composition if most frames share theirs with others, else one for each element."""
    counts = np.array([[(one == element).sum() for element in elements] for one in numbers], np.float64)
    _, kind, frequency = np.unique(counts, axis=0, return_inverse=True, return_counts=True)
    if (frequency[kind] >= 5).mean() > 0.5:
        return np.eye(len(frequency))[kind.ravel()]
    return counts


def _solve(gram: Any, right: Any, scale: FloatArray) -> FloatArray:
    """Ridge regression with columns of the given scales: what few frames determine stays small."""
    solution: FloatArray = np.linalg.solve(gram / np.outer(scale, scale) + _RIDGE * np.eye(len(scale)), right / scale)
    return solution / scale
