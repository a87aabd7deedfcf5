"""What a frame says beside its numbers: units in its comment, and weights that nobody asked for.

A unit that contradicts what is assumed is an error; what is only worth knowing becomes a note, which the checks report.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from equipot.data._label_contract import LabelContract, LabelSource, dimension_of
from equipot.data._label_units import Dimension, unit_value
from equipot.errors import DataError, problem
from equipot.units import UNIT_SYSTEMS

_TAG = re.compile(r"units?")
_WEIGHT = re.compile(r"weight")
_QUANTITIES: dict[str, tuple[str, ...]] = {
    "energ": ("total_energy", "atomic_energy"),
    "force": ("forces",),
    "stress": ("stress",),
    "pressure": ("stress",),
    "virial": ("virial", "stress"),
}
_LENGTHS = ("length", "position", "distance", "coord", "cell", "lattice", "pos")
_SYSTEMS: dict[str, str] = {name: system.energy for name, system in UNIT_SYSTEMS.items()}

UNKNOWN_UNIT = "unit-tag"
UNUSED_WEIGHTS = "unused-weights"
"""Codes of the notes."""


def check_unit_tags(info: Mapping[str, Any], contract: LabelContract, where: str) -> list[tuple[str, str]]:
    """Compare units that a frame states with those that its labels are taken to have.

    Args:
        info: Values of the frame by key, e.g. those of the comment of an extended XYZ file.
        contract: Labels that are read.
        where: File and frame, for messages.

    Returns:
        Notes, as code and text, on units that are not understood.

    Raises:
        DataError: If a unit differs; the message names the factor and the option that converts.
    """
    notes: list[tuple[str, str]] = []
    for key, text in _tags(info):
        matched = False
        for part in re.split(r"[,;]", _SYSTEMS.get(text.strip().lower(), text)):
            for name, source, dimension, value in _meant(key, part, info, contract):
                matched = True
                _compare(key, part.strip(), name, source, dimension, value, where)
        if not matched and any(label in contract for labels in _QUANTITIES.values() for label in labels):
            notes.append((UNKNOWN_UNIT, f"{key}={text[:40]!r} is not understood"))
    return notes


def _tags(info: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Keys that state units, with what they state; a mapping may hold one for each quantity."""
    for key, value in info.items():
        if not _TAG.search(key.lower()):
            continue
        if isinstance(value, Mapping):
            yield from ((f"{one}_{key}", text) for one, text in value.items() if isinstance(text, str))
        elif isinstance(value, str):
            yield key, value


def _meant(
    key: str, text: str, info: Mapping[str, Any], contract: LabelContract
) -> Iterator[tuple[str, LabelSource | None, Dimension, float]]:
    """The labels that a tag is about, and the unit that it states for them; a length has no label."""
    stem = re.sub(r"[-_ .]*units?[-_ .]*", "", key.lower())
    if any(word in stem for word in _LENGTHS) or not stem:
        if (value := unit_value(text, "length")) is not None:
            yield "positions and cell", None, "length", value
        if stem:
            return
    named = [label for word, labels in _QUANTITIES.items() if word in stem or not stem for label in labels]
    exact = [label for label, source in contract.items() if source.key.split(":")[-1].lower() == stem]
    if not exact and stem in {one.lower() for one in info}:
        return  # the unit of another value, which is not read
    for label in dict.fromkeys(exact or named):
        if label not in contract:
            continue
        dimension = dimension_of(label, contract[label].convention)
        if dimension is not None and (value := unit_value(text, dimension)) is not None:
            yield label, contract[label], dimension, value


def _compare(
    key: str, text: str, name: str, source: LabelSource | None, dimension: Dimension, stated: float, where: str
) -> None:
    assumed = 1.0 if source is None else source.unit_value
    if abs(stated / assumed - 1.0) < 1e-4:
        return
    hint = "convert them to Å"
    if source is not None:
        converted = dataclasses.replace(source, unit=text)
        hint = f"write labels: {{{name}: {converted.text()}}}, or correct the file"
    what = f"{key} says {text}, but {name} would be read as {_assumed(source, dimension, assumed)}"
    raise DataError(problem(where, f"{what}: a factor of {stated / assumed:.6g}", hint=hint))


def _assumed(source: LabelSource | None, dimension: Dimension, value: float) -> str:
    if source is not None and source.unit is not None:
        return source.unit
    energy = next(system.energy for system in UNIT_SYSTEMS.values() if system.energy_in_ev == value)
    return {"energy": energy, "forces": f"{energy}/Å", "stress": f"{energy}/Å³", "length": "Å"}[dimension]


def unused_weights(held: Mapping[str, Mapping[str, Any]], contract: LabelContract) -> list[tuple[str, str]]:
    """Notes, as code and text, on weights in a frame that are not 1 and that the contract does not use.

    Args:
        held: Values of the frame by place (``results``, ``info``, ``arrays``) and key.
        contract: Labels that are read.
    """
    used = {key.split(":")[-1] for source in contract.values() for key in source.weights}
    notes = []
    for values in held.values():
        for key, value in values.items():
            if key not in used and _WEIGHT.search(key.lower()) and _differs_from_one(value):
                notes.append((UNUSED_WEIGHTS, f"{key} is in the file but not used"))
    return notes


def _differs_from_one(value: Any) -> bool:
    try:
        array = np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError):
        return False
    return bool((array != 1.0).any())
