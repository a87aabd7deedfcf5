"""What a frame says besides its numbers: units in its comment, and weights that nobody asked for.

A unit that contradicts what is assumed is an error; what is only worth knowing becomes a note, which the checks report.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any

import numpy as np

from equipot.commands import setting
from equipot.data._label_contract import FRAME, LabelContract, LabelSource, dimension_of, unit_of
from equipot.data._label_units import Dimension, unit_value
from equipot.errors import DataError, problem
from equipot.fields import LABELS
from equipot.units import UNIT_SYSTEMS, in_ev, unit_in

_TAG = re.compile(r"units?(?:$|[-_ .:])(?!cell)")
_WEIGHT = re.compile(r"weight")
_QUANTITIES: dict[str, tuple[str, ...]] = {
    "energ": ("total_energy", "atomic_energy"),
    "force": ("forces",),
    "stress": ("stress",),
    "pressure": ("stress",),
    "virial": ("virial", "stress"),
}
"""Words in keys that are about labels of core; those of other labels are their own names."""
_LENGTHS = ("length", "position", "distance", "coord", "cell", "lattice", "pos")
_SYSTEMS: dict[str, str] = {name: system.energy for name, system in UNIT_SYSTEMS.items()}

UNKNOWN_UNIT = "unit-tag"
UNUSED_WEIGHTS = "unused-weights"
"""Codes of the notes."""


def is_unit_tag(key: str) -> bool:
    """Whether a key states a unit."""
    return _TAG.search(key.lower()) is not None


def is_weight(key: str) -> bool:
    """Whether a key names weights."""
    return _WEIGHT.search(key.lower()) is not None


def check_unit_tags(
    held: Mapping[str, Mapping[str, Any]], contract: LabelContract, where: str
) -> list[tuple[str, str]]:
    """Compare units that a frame states with those that its labels are taken to have.

    Args:
        held: Values of the frame by place and key; ``info`` has those of the comment of an extended XYZ file.
        contract: Labels that are read.
        where: File and frame, for messages.

    Returns:
        Notes, as code and text, on units that are not understood.

    Raises:
        DataError: If a unit differs; the message names the factor and the option that converts.
    """
    notes: list[tuple[str, str]] = []
    for key, text in _tags(held["info"]):
        about = _about(key, {one.lower() for values in held.values() for one in values}, contract)
        parts = [part.strip() for part in re.split(r"[,;]", _SYSTEMS.get(text.strip().lower(), text))]
        stated = [
            (part, one, value) for part in parts for one in about if (value := unit_value(part, one[2])) is not None
        ]
        for part, one, value in stated:
            _compare(key, part, one[0], one[1], value, where)
        if about and not stated:
            notes.append((UNKNOWN_UNIT, f"{key}={text[:40]!r} is not understood"))
    return notes


def _tags(info: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Keys that state units, with what they state; a mapping may hold one for each quantity."""
    for key, value in info.items():
        if not is_unit_tag(key):
            continue
        if isinstance(value, Mapping):
            yield from ((f"{one}_{key}", text) for one, text in value.items() if isinstance(text, str))
        elif isinstance(value, str):
            yield key, value


_About = tuple[str, LabelSource | None, Dimension]
"""What a tag is about: a label that is read, or lengths, which have no label."""


def _about(key: str, values: Collection[str], contract: LabelContract) -> list[_About]:
    """What a tag is about, among what is read; a tag that names no quantity may be about all of it."""
    stem = re.sub(r"[-_ .]*units?[-_ .]*", "", key.lower())
    read = {label: kind for label, one in contract.items() if (kind := dimension_of(label, one.convention)) is not None}
    if not read:
        return []
    exact = [label for label in read if contract[label].key.split(":")[-1].lower() == stem]
    if not exact and stem in values:
        return []  # the unit of another value, which is not read
    named = [label for labels in _about_labels(stem) for label in labels]
    about: list[_About] = [
        (label, contract[label], read[label]) for label in dict.fromkeys(exact or named) if label in read
    ]
    if (not about and any(word in stem for word in _LENGTHS)) or not stem:
        about.insert(0, ("positions and cell", None, "length"))
    return about


def _about_labels(text: str) -> Iterator[tuple[str, ...]]:
    """The labels that words in a key are about; without any word, all of them."""
    yield from (labels for word, labels in _QUANTITIES.items() if word in text or not text)
    known = {label for labels in _QUANTITIES.values() for label in labels}
    for label, field in LABELS.items():
        names = {label.lower(), (field.ase_property or label).lower()}
        if label not in known and (not text or any(re.search(rf"(^|[\W_]){one}s?($|[\W_])", text) for one in names)):
            yield (label,)


def _compare(key: str, text: str, name: str, source: LabelSource | None, stated: float, where: str) -> None:
    assumed = 1.0 if source is None else source.unit_value
    if abs(stated / assumed - 1.0) < 1e-4:
        return
    hint = "convert them to Å"
    if source is not None:
        converted = dataclasses.replace(source, unit=text)
        hint = f"write {setting('labels', {name: converted.text()})}, or correct the file"
    what = f"{key} says {text}, but {name} would be read as {_assumed(name, source, assumed)}"
    raise DataError(problem(where, f"{what}: a factor of {stated / assumed:.6g}", hint=hint))


def _assumed(name: str, source: LabelSource | None, value: float) -> str:
    if source is None:
        return "Å"
    if source.unit is not None:
        return source.unit
    unit = unit_of(name, source.convention)
    return next(unit_in(unit, system) for system in UNIT_SYSTEMS if in_ev(unit, system) == value)


def unused_weights(held: Mapping[str, Mapping[str, Any]], contract: LabelContract) -> list[tuple[str, str]]:
    """Notes, as code and text, on weights in a frame that are not 1 and that the contract does not use.

    Args:
        held: Values of the frame by place (``results``, ``info``, ``arrays``) and key.
        contract: Labels that are read.
    """
    used = {key.split(":")[-1] for source in contract.values() for key in source.weights}
    notes = []
    for place, values in held.items():
        for key, value in values.items():
            if key not in used and is_weight(key) and _differs_from_one(value):
                used_by = setting("data.weights", {_weighed(key, place): key})
                notes.append((UNUSED_WEIGHTS, f"{key} is in the file but not used; it would be by {used_by}"))
    return notes


def _weighed(key: str, place: str) -> str:
    """What weights are probably for, by their name and place."""
    found = [labels[-1] for labels in _about_labels(key.lower())]
    label = "forces" if place == "arrays" else FRAME
    return {"atomic_energy": "total_energy"}.get(found[0], found[0]) if found else label


def _differs_from_one(value: Any) -> bool:
    try:
        array = np.asarray(value)
    except ValueError:  # lists of different lengths
        return False
    return array.dtype.kind in "iuf" and bool((array != 1.0).any())
