"""The label contract: under which key a file has each label, in which convention and unit, and what weighs it."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from equipot.data._label_units import Dimension, examples, unit_value
from equipot.errors import ConfigError, problem, unknown
from equipot.fields import FIELDS, LABELS, OPTIONAL_INPUTS
from equipot.options import Options, from_mapping
from equipot.plugins import DATA_FIELDS, plugins
from equipot.units import Units, in_ev

DEFAULT_LABELS: dict[str, str] = {"total_energy": "energy", "forces": "forces", "stress": "stress"}
"""Labels by the names of ASE's ``SinglePointCalculator``."""


@dataclass(frozen=True, kw_only=True)
class LabelOptions(Options):
    """How a config says where a label is found in the files; a string stands for the key alone."""

    key: str = field(kw_only=False)
    """Key in calc.results, info or arrays; ``info:KEY`` looks in one of them only."""

    convention: Literal["stress", "negative_stress", "virial"] = "stress"
    """What the file stores under the label ``stress``: ASE's stress (eV/Å³, positive under tension), its negative, or
    the virial ``-stress * volume`` (eV, as in QUIP)."""

    unit: str | None = None
    """Unit in the file, e.g. ``Hartree``, ``kcal/mol/Å``, ``GPa`` or, of a dipole, ``Debye``, from which numbers are
    converted to those of ``data.units``; by default they are in these already."""

    force_consistent: str | None = None
    """For ``total_energy``: key in calc.results of the energy whose derivatives the forces are. It is taken in frames
    that have forces and both energies; by default ``free_energy``, if ``labels`` is not given at all."""

    def problems(self) -> Iterator[str]:
        """The keys must not be empty."""
        for name in ("key", "force_consistent"):
            if getattr(self, name) == "":
                yield problem(name, "must not be empty")

    def stated(self) -> dict[str, Any]:
        """What a config says, as a mapping that ``label_contract`` takes."""
        values = {one.name: getattr(self, one.name) for one in dataclasses.fields(LabelOptions)}
        return {name: value for name, value in values.items() if value is not None}

    def text(self) -> str:
        """What a config says: the key, or a mapping if there is more."""
        convention = "" if self.convention == "stress" else f", convention: {self.convention}"
        unit = "" if self.unit is None else f", unit: {self.unit}"
        free = "" if self.force_consistent in (None, "free_energy") else f", force_consistent: {self.force_consistent}"
        more = f"{convention}{unit}{free}"
        return f"{{key: {self.key}{more}}}" if more else self.key


@dataclass(frozen=True, kw_only=True)
class LabelSource(LabelOptions):
    """Where a label is found, what converts it, and what weighs it: options of a label, resolved."""

    factor: float = 1.0
    """Numbers of the file are multiplied with this."""

    unit_value: float = 1.0
    """The unit that the numbers of the file are taken to have, in that of the field."""

    weights: tuple[str, ...] = ()
    """Keys of weights, whose product is the label's weight."""

    @property
    def keys(self) -> tuple[str, ...]:
        """All keys that are read for this label."""
        return (self.key, *([] if self.force_consistent is None else [self.force_consistent]), *self.weights)


LabelContract = dict[str, LabelSource]

FRAME = "frame"
"""Name, among weights, of that of the whole frame: it counts for all labels."""


def label_contract(
    labels: Mapping[str, str | Mapping[str, str]] | None,
    where: str = "data.labels",
    *,
    units: Units = "metal",
    weights: Mapping[str, str] | None = None,
    weights_at: str = "",
) -> LabelContract:
    """Check where labels are found, in which units, and what weighs them.

    Args:
        labels: ``{label: key}`` or ``{label: {key: ..., convention: ..., unit: ...}}``; None: ``DEFAULT_LABELS``.
        where: Dotted path for messages.
        units: Unit system that labels are converted to.
        weights: Key of the weights of each label, and of whole frames under ``frame``.
        weights_at: Dotted path of the weights for messages; by default in the section of ``where``.

    Raises:
        ConfigError: With all problems.
    """
    contract: LabelContract = {}
    problems: list[str] = []
    if labels is None:
        labels = {**DEFAULT_LABELS, "total_energy": {"key": "energy", "force_consistent": "free_energy"}}
    for label, given in labels.items():
        try:
            contract[label] = _label_source(label, given, f"{where}.{label}", units)
        except ConfigError as error:
            problems.extend(error.problems)
    if not problems and not set(contract) & set(LABELS):
        problems.append(problem(where, "names no label", hint="write {total_energy: KEY, ...}"))
    problems += _weight_problems(weights or {}, contract, weights_at or f"{where.removesuffix('labels')}weights")
    if problems:
        raise ConfigError(problems)
    return {label: _weighted(label, source, weights or {}) for label, source in contract.items()}


def _weight_problems(weights: Mapping[str, str], contract: LabelContract, where: str) -> Iterator[str]:
    known = (FRAME, *(label for label in LABELS if label in contract))
    for label, key in weights.items():
        if label not in known:
            yield unknown(f"{where}.{label}", label, known, "label")
        elif not isinstance(key, str) or not key:
            yield problem(f"{where}.{label}", "must be a key of the files", got=key)


def _weighted(label: str, source: LabelSource, weights: Mapping[str, str]) -> LabelSource:
    """The source with the keys of all weights that count for the label."""
    keys = tuple(weights[name] for name in (FRAME, label) if name in weights)
    return dataclasses.replace(source, weights=keys) if keys and label in LABELS else source


def _label_source(label: str, given: object, where: str, units: Units) -> LabelSource:
    if label not in LABELS and label not in OPTIONAL_INPUTS:
        hint = plugins().install_hint(DATA_FIELDS, label)
        raise ConfigError(unknown(where, label, (*LABELS, *OPTIONAL_INPUTS), "label", hint=hint))
    if not isinstance(given, (str, Mapping)):
        raise ConfigError(problem(where, "must be a string or a mapping", got=given))
    stated = {"key": given} if isinstance(given, str) else given
    source = from_mapping(LabelOptions, stated, where)
    if source.convention != "stress" and label != "stress":
        raise ConfigError(problem(f"{where}.convention", "is for the label stress only", got=source.convention))
    if source.force_consistent is not None and label != "total_energy":
        what = "is for the label total_energy only"
        raise ConfigError(problem(f"{where}.force_consistent", what, got=source.force_consistent))
    if label == "stress" and "convention" not in stated and is_virial(source.key):
        what = f"the key {source.key!r} names a virial (eV), which is not a stress (eV/Å³)"
        hint = f"write {{key: {source.key}, convention: virial}}, or convention: stress if it is one"
        raise ConfigError(problem(where, what, hint=hint))
    value = _assumed(label, source, where, units)
    factor = 1.0 if source.unit is None else value / in_ev(unit_of(label, source.convention), units)
    return LabelSource(**dataclasses.asdict(source), factor=factor, unit_value=value)


def is_virial(key: str) -> bool:
    """Whether a key names a virial; a virial stress is a stress."""
    return "virial" in key.lower() and "stress" not in key.lower()


def dimension_of(label: str, convention: str = "stress") -> Dimension | None:
    """What the numbers of a label in a file measure; None for inputs of models and for labels without a unit."""
    unit = unit_of(label, convention) if label in LABELS else ""
    return {"eV": "energy", "eV/Å": "forces", "eV/Å³": "stress", "Å": "length"}.get(unit, unit) or None


def unit_of(label: str, convention: str) -> str:
    """Unit of the numbers of a label in a file, written with eV."""
    return "eV" if label == "stress" and convention == "virial" else FIELDS[label].unit


def _assumed(label: str, source: LabelOptions, where: str, units: Units) -> float:
    """The unit of a label's numbers in the file, in that of the field."""
    if source.unit is None:
        return in_ev(unit_of(label, source.convention), units)
    dimension = dimension_of(label, source.convention)
    if dimension is None:
        raise ConfigError(problem(f"{where}.unit", f"is for labels with a unit, not for {label}", got=source.unit))
    if (value := unit_value(source.unit, dimension)) is None:
        hint = f"for example {examples(dimension)}"
        raise ConfigError(problem(f"{where}.unit", f"is not a known unit of {label}", got=source.unit, hint=hint))
    return value


def without_force_consistent(contract: LabelContract) -> LabelContract:
    """The labels with the energy under its own key, for a training on energies alone."""
    return {label: dataclasses.replace(source, force_consistent=None) for label, source in contract.items()}
