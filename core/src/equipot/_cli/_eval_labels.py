"""Under which keys ``equipot eval`` looks for labels."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from equipot.errors import ConfigError, problem, unknown

if TYPE_CHECKING:
    from equipot.artifacts._training_labels import TrainingLabels

_CONVENTIONS = ("stress", "negative_stress", "virial")
_PLACES = ("results", "info", "arrays")


def named_labels(items: Iterable[str]) -> dict[str, dict[str, str]]:
    """The labels that are named, as in ``data.labels``."""
    labels = {}
    for item in items:
        label, equals, key = item.partition("=")
        if not equals or not key:
            hint = "for example total_energy=REF_energy"
            raise ConfigError(problem("--labels", "must be LABEL=KEY", got=item, hint=hint))
        labels[label] = _with_convention(key) if label == "stress" else {"key": key}
    return labels


def _with_convention(text: str) -> dict[str, str]:
    """A key and the convention after it; a colon may also end the place before the key."""
    place, _, rest = text.partition(":")
    name = rest if rest and place in _PLACES else text
    if ":" not in name:
        return {"key": text}
    convention = name.rpartition(":")[2]
    if convention not in _CONVENTIONS:
        raise ConfigError(unknown("--labels stress", convention, _CONVENTIONS, "convention"))
    return {"key": text.rpartition(":")[0], "convention": convention}


def chosen_labels(named: dict[str, dict[str, str]], trained: TrainingLabels | None) -> dict[str, Any] | None:
    """The labels of the training, with those that are named instead; None: ASE's names."""
    if trained is None:
        return named or None
    from equipot.artifacts._training_labels import label_options

    return label_options(trained.contract) | named


def origin_of_labels(named: dict[str, dict[str, str]], trained: TrainingLabels | None) -> str:
    """Who says under which keys the labels are."""
    given = f"--labels ({', '.join(named)})" if named else ""
    if trained is not None:
        return f"the model's training; {given}" if given else "the model's training"
    return given or "ASE's names: the model does not know those of its training"
