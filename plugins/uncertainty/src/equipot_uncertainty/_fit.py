"""Fit the head of a model: covariance of the training set, ridge by the validation set, calibration by both."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import torch

from equipot.errors import DataError, problem
from equipot.evaluate import Calibration
from equipot.model import GraphModel, apply_modifier
from equipot_uncertainty._head import MODIFIER, NAME, Features, feature_kind, without_uncertainty
from equipot_uncertainty._posterior import SMALL, Covariance, Scale, Seen, best_posterior, common_scale, posterior
from equipot_uncertainty._rows import Prober, Rows, in_batches, scales_of

FEWEST = 10
"""Energies of a validation set that a calibration needs."""

MOST_KEPT = 1000
"""Training frames whose errors are kept for the calibration; more would not make it better."""


@dataclass(frozen=True, kw_only=True)
class Fitted:
    """What a fit came to; packages keep it in their provenance."""

    features: Features
    num_features: int
    train_frames: int
    """Whose energies are in the covariance."""
    train_force_frames: int
    """Whose forces are in that of forces."""
    validation_frames: int
    calibrated_with_training: bool
    """Whether errors of energies on training frames count in the calibration, too."""
    ridge: float
    alpha: float
    """Factor on the standard deviations of energies."""
    alpha_atoms: float
    alpha_forces: float | None
    energy: Calibration
    """On the validation set; its rms_z is below 1 where training frames have larger errors."""
    forces: Calibration | None

    def to_dict(self) -> dict[str, Any]:
        """In plain containers."""
        return asdict(self)


@dataclass(frozen=True, kw_only=True)
class FitOptions:
    """How the head is fitted."""

    force_directions: int = 0
    """As for ``LastLayerUncertainty``."""
    force_frames: int = 50
    """With force directions: training frames whose forces are in their covariance, at least 1, evenly spread; each
    costs p calculations of forces."""
    features: Features | None = None
    """Default: the best that the model has."""
    seed: int = 1
    """Of the directions."""


def add_uncertainty(
    model: GraphModel,
    train: Any,
    validation: Any,
    options: FitOptions | None = None,
) -> tuple[GraphModel, Fitted]:
    """Add the head ``uncertainty`` to a trained model and fit it.

    Args:
        model: In eval mode, on the CPU; unchanged. Uncertainties that it has are replaced.
        train: Labelled frames of its training, a sequence such as ``DataModule.dataset("train")``.
        validation: Labelled frames on which it was not trained.
        options: How.

    Returns:
        The model with the head, which shares all other tensors; and what came out.

    Raises:
        ConfigError: If the model has no features.
        DataError: If the sets have too few energies, or no forces though there are force directions.
    """
    chosen = options or FitOptions()
    kind = chosen.features or feature_kind(model)
    prober = Prober(model, kind)
    wanted = bool(chosen.force_directions)
    covariance = Covariance(prober.num_features)
    used = _spread(len(train), chosen.force_frames) if wanted else []
    kept = [index for index in _spread(len(train), MOST_KEPT) if index not in used]
    taken = {*used, *kept}
    others = [index for index in range(len(train)) if index not in taken]
    known: list[Rows] = []
    for indices, forces, keep in ((used, True, True), (kept, False, True), (others, False, False)):
        for batch in in_batches(train, indices):
            rows = prober.rows(batch, forces=forces)
            covariance.add(rows)
            known += [rows] if keep else []
    if covariance.energies == 0:
        raise DataError(problem("training set", "has no energies, which the covariance is made of"))
    seen = prober.collect(in_batches(validation), forces=wanted)
    if (number := len(seen.labelled()[1])) < FEWEST:
        what = f"a calibration needs at least {FEWEST} frames with energies"
        raise DataError(problem("validation set", what, got=number))
    return _fitted(model, kind, covariance, (seen, Rows.joined(known)), chosen, (len(train), len(used)))


def _spread(count: int, most: int) -> list[int]:
    """At most so many indices, evenly spread."""
    return list(range(0, count, max(-(-count // most), 1)))


def _fitted(
    model: GraphModel,
    kind: Features,
    covariance: Covariance,
    sets: tuple[Rows, Rows],
    options: FitOptions,
    frames: tuple[int, int],
) -> tuple[GraphModel, Fitted]:
    """The model with its head, from the rows of the validation set and those kept of the training set."""
    features, errors = sets[0].labelled()
    found = best_posterior(covariance.energy, features, errors)
    of_energies = _scale(sets, lambda rows: found.squares(rows.labelled()[0]))
    head_options = {"features": kind, "force_directions": options.force_directions}
    made = apply_modifier(without_uncertainty(model), MODIFIER, head_options)
    head: Any = dict(made.heads())[NAME]
    head.scales.copy_(scales_of(model))
    head.factor.copy_(of_energies.alpha * found.factor)
    of_atoms = posterior(covariance.atoms, SMALL)
    alpha_atoms = _scale(sets, lambda rows: rows.sums(of_atoms.squares(rows.atoms))).alpha
    head.atom_factor.copy_(alpha_atoms * of_atoms.factor)
    alpha_forces, forces = _fit_forces(head, covariance, sets, options) if options.force_directions else (None, None)
    return made.eval(), Fitted(
        features=kind,
        num_features=len(found.factor),
        train_frames=frames[0],
        train_force_frames=frames[1],
        validation_frames=len(errors),
        calibrated_with_training=of_energies.with_training,
        ridge=found.ridge,
        alpha=of_energies.alpha,
        alpha_atoms=alpha_atoms,
        alpha_forces=alpha_forces,
        energy=Calibration.of(errors.numpy(), of_energies.alpha * found.squares(features).sqrt().numpy()),
        forces=forces,
    )


def _scale(sets: tuple[Rows, Rows], squares: Callable[[Rows], torch.Tensor]) -> Scale:
    """The calibration of standard deviations of energies, from variances of frames with labels."""
    validation, training = (Seen(squares(rows), rows.labelled()[1], len(rows.labelled()[1])) for rows in sets)
    return common_scale(validation, training)


def _fit_forces(
    head: Any, covariance: Covariance, sets: tuple[Rows, Rows], options: FitOptions
) -> tuple[float, Calibration]:
    """Fill the factor of forces; its calibration, and what it is worth on the validation set."""
    if not covariance.force_components or not len(sets[0].labelled_forces()[1]):
        hint = "leave out the force directions"
        raise DataError(problem("training and validation set", "must both have forces", hint=hint))
    directions = _directions(head.num_features, head.force_factor.shape[1], options.seed)
    projected = posterior(covariance.weighted(), SMALL).factor @ directions

    def seen(rows: Rows, frames: int) -> Seen:
        features, errors = rows.labelled_forces()
        squares = (features @ projected).square().sum(1).reshape(-1, 3).mean(1).repeat_interleave(3)
        return Seen(squares, errors, frames)

    validation = seen(sets[0], len(sets[0].num_atoms))
    training = seen(sets[1], min(options.force_frames, len(sets[1].num_atoms)))
    alpha = common_scale(validation, training).alpha
    head.force_factor.copy_(alpha * projected)
    return alpha, Calibration.of(validation.errors.numpy(), alpha * validation.squares.sqrt().numpy())


def _directions(size: int, number: int, seed: int) -> torch.Tensor:
    """Random orthogonal directions times √(p/K), so that sums of squares along them estimate those along all p."""
    if number == size:
        return torch.eye(size, dtype=torch.float64)
    generator = torch.Generator().manual_seed(seed)
    q, _ = torch.linalg.qr(torch.randn(size, number, dtype=torch.float64, generator=generator))
    return q * (size / number) ** 0.5
