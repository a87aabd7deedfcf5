"""Under which keys ``equipot eval`` looks for labels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from equipot.artifacts._training_labels import TrainingLabels
    from equipot.data.arguments import GivenReading
    from equipot.evaluate import Reading


def chosen_labels(named: dict[str, dict[str, str]], trained: TrainingLabels | None) -> dict[str, Any] | None:
    """The labels of the training, with those that are named instead; None: ASE's names."""
    if trained is None:
        return named or None
    return {label: source.stated() for label, source in trained.contract.items()} | named


def as_in_training(given: GivenReading, trained: TrainingLabels | None) -> Reading:
    """What options say, else what the training had."""
    from equipot.evaluate import Reading

    if trained is None:
        unconverged = given.unconverged or "error"
        return Reading(weights=given.weights, unconverged=unconverged, species=given.species, ase_args=given.ase_args)
    return Reading(
        weights=trained.weights if given.weights is None else given.weights,
        unconverged=given.unconverged or trained.unconverged,
        species={**trained.species, **(given.species or {})},
        ase_args=given.ase_args,
    )


def origin_of_labels(named: dict[str, dict[str, str]], trained: TrainingLabels | None) -> str:
    """Who says under which keys the labels are."""
    given = f"--labels ({', '.join(named)})" if named else ""
    if trained is not None:
        return f"the model's training; {given}" if given else "the model's training"
    return given or "ASE's names: the model does not know those of its training"
