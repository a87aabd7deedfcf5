"""Statistics as entries: a quantity, a metric, and whether there is one value per type."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch

from equipot.data._quantities import Quantity, as_quantity
from equipot.data._statistics import Metric, as_metric
from equipot.errors import ConfigError, DataError, problem
from equipot.graph import Graph
from equipot.model._context import pair_index
from equipot.options import Options, from_mapping

StatisticKind = Literal["scalar", "per_type", "per_type_pair"]
"""A number, ``{type: number}``, or ``{"centre_neighbour": number}``."""

StatisticValue = float | dict[str, float]


@dataclass(frozen=True)
class StatisticEntry:
    """One statistic of ``DataStatisticsManager``."""

    name: str
    """Name in ``${training_data_stats:NAME}``."""
    field: Quantity
    """What is looked at."""
    metric: Metric
    """What is computed of it."""
    per_type: bool = False
    """One value per type of the atom, or per ordered pair of types of the edge."""
    ignore_nan: bool = False
    """Leave NaN out instead of refusing it."""

    @property
    def kind(self) -> StatisticKind:
        """What the value looks like."""
        if not self.per_type:
            return "scalar"
        return "per_type_pair" if self.field.per == "edge" else "per_type"

    def fingerprint(self) -> list[Any]:
        """All that the value depends on besides the data, in plain containers, for the cache."""
        metric = {key: value for key, value in sorted(vars(self.metric).items()) if not key.startswith("_")}
        return [repr(self.field), type(self.metric).__name__, metric, self.per_type, self.ignore_nan]


@dataclass(frozen=True, kw_only=True)
class StatisticOptions(Options):
    """Options of an entry of ``DataStatisticsManager``."""

    field: Any
    """A field's name, ``PerAtomModifier``, ``NumNeighbors`` or ``EdgeLengths``."""

    metric: Any
    """``Mean``, ``RootMeanSquare``, ... or an object of such a class."""

    per_type: bool = False
    """One value per type of the atom, or per ordered pair of types of the edge."""

    ignore_nan: bool = False
    """Leave NaN out instead of refusing it."""

    name: str = ""
    """Name in ``${training_data_stats:NAME}``; by default it follows from the others."""


class EntryCollector:
    """Collects one entry.

    Args:
        entry: What to collect.
        type_names: The model's types.
    """

    def __init__(self, entry: StatisticEntry, type_names: Sequence[str]) -> None:
        self._entry = entry
        self._num_types = len(type_names)
        self._labels: list[str] = [""]
        if entry.kind == "per_type":
            self._labels = list(type_names)
        elif entry.kind == "per_type_pair":
            self._labels = [f"{centre}_{neighbour}" for centre in type_names for neighbour in type_names]
        self._metrics = [entry.metric.fresh() for _ in self._labels]

    def update(self, batch: Graph) -> None:
        """Take in the values that count."""
        found = self._entry.field.values(batch)
        if found is None:
            return
        keep = found.present
        if self._entry.ignore_nan:
            finite = ~found.rows.isnan()
            keep = keep & (finite if finite.ndim == 1 else finite.flatten(1).all(dim=1))
        if self._entry.kind == "scalar":
            self._metrics[0].update(found.rows[keep])
            return
        kinds = batch["atom_types"]
        if self._entry.kind == "per_type_pair":
            centre, neighbour = batch["edge_index"]
            kinds = pair_index(kinds[centre], kinds[neighbour], self._num_types)
        kinds, rows = kinds[keep], found.rows[keep]
        for kind in torch.unique(kinds).tolist():
            self._metrics[kind].update(rows[kinds == kind])

    def result(self) -> StatisticValue:
        """The value.

        Raises:
            DataError: If nothing was collected, or values were NaN.
        """
        values = {label: metric.compute() for label, metric in zip(self._labels, self._metrics, strict=True)}
        if bad := [label for label, value in values.items() if not math.isfinite(value)]:
            what = ", ".join(self._entry.field.requires)
            of_types = "" if bad == [""] else f" for the types {bad}"
            raise DataError(f"the train set has no (or too few, or NaN) values of {what}{of_types}")
        return values[""] if self._entry.kind == "scalar" else values


def statistic_entry(given: Mapping[str, Any], where: str) -> StatisticEntry:
    """The entry that a mapping of ``DataStatisticsManager`` describes.

    Args:
        given: As ``StatisticOptions``.
        where: Dotted path that messages start with.

    Raises:
        ConfigError: With all problems.
    """
    options = from_mapping(StatisticOptions, given, where)
    try:
        quantity, metric = as_quantity(options.field), as_metric(options.metric)
    except ConfigError as error:
        raise ConfigError(f"{where}: {text}" for text in error.problems) from error
    if options.per_type and quantity.per == "frame":
        raise ConfigError(problem(f"{where}.per_type", "needs a field per atom or edge", got=options.field))
    name = options.name or _name_of(options.field, metric, per_type=options.per_type)
    return StatisticEntry(name, quantity, metric, options.per_type, options.ignore_nan)


def _name_of(field: str | Quantity, metric: Metric, *, per_type: bool) -> str:
    short = {"RootMeanSquare": "rms", "StandardDeviation": "std", "MeanAbsolute": "mean_abs"}
    what = field if isinstance(field, str) else type(field).__name__
    kind = type(metric).__name__
    return f"{'per_type_' if per_type else ''}{what}_{short.get(kind, kind.lower())}"
