"""Under which keys ``equipot eval`` looks for labels."""

from __future__ import annotations

from collections.abc import Iterable

from equipot.errors import ConfigError, problem, unknown

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
