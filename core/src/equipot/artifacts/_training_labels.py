"""The labels that a stored model was trained on: the keys they had in its data, and how they were stored there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args

from equipot.artifacts._checkpoint import KEY, load_plain
from equipot.artifacts._compiled_file import read_compiled
from equipot.artifacts._manifest import kind_of
from equipot.artifacts._package import read_manifest
from equipot.data._collection import Unconverged
from equipot.data._label_contract import DEFAULT_LABELS, LabelContract, label_contract
from equipot.data._species import mapping_problems
from equipot.errors import ArtifactError, ConfigError, problem
from equipot.fields import LABELS, OPTIONAL_INPUTS

LABELS_FACT, MASK_FACT = "labels", "mask_nan_labels"
WEIGHTS_FACT, UNCONVERGED_FACT, SPECIES_FACT = "weights", "unconverged", "species"
"""Entries of ``Manifest.data``, named as the options of a data section."""

_DAMAGED = "the file was made with a newer equipot, edited or damaged"


@dataclass(frozen=True)
class TrainingLabels:
    """What is known about the labels of a model's training."""

    contract: LabelContract
    """Where each label was read from."""

    mask_nan: bool = False
    """Whether NaN in a label meant that it is missing."""

    doubt: str = ""
    """What the file does not say; empty if it says everything."""

    weights: dict[str, str] = field(default_factory=dict)
    """Key of the weights of each label, and of whole frames under ``frame``."""

    unconverged: Unconverged = "error"
    """What was done with frames whose self-consistent cycle did not converge."""

    species: dict[str, str] = field(default_factory=dict)
    """Element of each name of atoms that is not a symbol."""


def label_facts(
    contract: LabelContract,
    *,
    mask_nan: bool,
    weights: Mapping[str, str] | None = None,
    unconverged: Unconverged = "error",
    species: Mapping[Any, str] | None = None,
) -> dict[str, Any]:
    """What ``Manifest.data`` says about the labels and how they were read, in plain containers.

    Args:
        contract: The labels.
        mask_nan: As ``data.mask_nan_labels``.
        weights: As ``data.weights``.
        unconverged: As ``data.unconverged``.
        species: As ``data.species``.
    """
    return {
        LABELS_FACT: {label: source.stated() for label, source in contract.items()},
        MASK_FACT: mask_nan,
        WEIGHTS_FACT: dict(weights or {}),
        UNCONVERGED_FACT: unconverged,
        SPECIES_FACT: {str(name): symbol for name, symbol in (species or {}).items()},
    }


def training_labels(path: str | Path) -> TrainingLabels | None:
    """The labels that the model in a file was trained on.

    Files of earlier versions do not state them. Their checkpoints have the config of the training; their packages and
    compiled files have the keys of the labels, but not how a stress was stored.

    Args:
        path: A checkpoint, package or compiled file.

    Returns:
        None if the file does not know any labels.

    Raises:
        ArtifactError: If the file cannot be used, or does not state labels properly.
    """
    kind = kind_of(path)
    if kind == "checkpoint":
        record = load_plain(path).get(KEY)
        record = record if isinstance(record, dict) else {}
        facts, config = record.get("data"), record.get("training_config")
    else:
        facts, config = (read_manifest(path) if kind == "package" else read_compiled(path)[0]).data, None
    section = config.get("data") if isinstance(config, Mapping) else None
    if isinstance(facts, Mapping) and LABELS_FACT in facts:
        return _checked(facts[LABELS_FACT], facts, path)
    if isinstance(section, Mapping):
        return _checked(section.get(LABELS_FACT) or DEFAULT_LABELS, section, path)
    return _of_census(facts.get("census"), path) if isinstance(facts, Mapping) else None


def _checked(labels: object, facts: Mapping[str, Any], path: str | Path, doubt: str = "") -> TrainingLabels:
    """The labels with the other facts of the same place.

    Raises:
        ArtifactError: If anything is not as it was written.
    """
    where = f"{path}: data.labels"
    if not isinstance(labels, Mapping):
        raise ArtifactError(problem(where, "must be a mapping", hint="the file was edited or damaged"))
    given = {str(label): one for label, one in labels.items()}
    if isinstance(given.get("stress"), str):
        given["stress"] = {"key": given["stress"], "convention": "stress"}  # what a key alone always meant
    weights, unconverged, species = (facts.get(name) for name in (WEIGHTS_FACT, UNCONVERGED_FACT, SPECIES_FACT))
    for name, value in ((WEIGHTS_FACT, weights), (SPECIES_FACT, species)):
        if value is not None and not isinstance(value, Mapping):
            raise ArtifactError(problem(f"{path}: data.{name}", "must be a mapping", hint=_DAMAGED))
    if unconverged not in (None, *get_args(Unconverged)):
        raise ArtifactError(problem(f"{path}: data.{UNCONVERGED_FACT}", "is unknown", got=unconverged, hint=_DAMAGED))
    if strange := [label for label in given if label not in LABELS and label not in OPTIONAL_INPUTS]:
        what = f"names the labels {', '.join(strange)}, which no installed plugin declares"
        hint = "install the plugin of the training, or the file was edited or damaged"
        raise ArtifactError(problem(where, what, hint=hint))
    problems = list(mapping_problems(species, f"{path}: data.{SPECIES_FACT}"))
    try:
        label_contract(given, where, weights=weights)
    except ConfigError as error:
        problems += error.problems
    if problems:
        raise ArtifactError("\n".join(f"{one} ({_DAMAGED})" for one in problems))
    return TrainingLabels(
        label_contract(given, where),
        facts.get(MASK_FACT) is True,
        doubt,
        dict(weights or {}),
        unconverged or "error",
        {str(name): str(symbol) for name, symbol in (species or {}).items()},
    )


def _of_census(census: object, path: str | Path) -> TrainingLabels | None:
    """The keys of labels that the data had, from the counts that files of earlier versions have."""
    sets = census.get("sets") if isinstance(census, Mapping) else None
    counted = [
        one.get("labels") for one in (sets.values() if isinstance(sets, Mapping) else ()) if isinstance(one, Mapping)
    ]
    keys: dict[str, object] = {}
    for labels in counted:
        for label, row in labels.items() if isinstance(labels, Mapping) else ():
            if isinstance(row, Mapping) and row.get("present"):
                keys.setdefault(str(label), row.get("key"))
    if not keys:
        return None
    stress = keys.get("stress", DEFAULT_LABELS["stress"])
    if "stress" in keys:
        keys["stress"] = {"key": stress, "convention": "stress"}
    what = (
        f"does not say how the stress was stored under the key {stress!r} in the training data; it is taken as a stress"
    )
    doubt = (
        ""
        if stress == DEFAULT_LABELS["stress"]
        else problem(str(path), what, hint="else give --labels stress=KEY:CONVENTION")
    )
    return _checked(keys, {}, path, doubt)
