"""Statistics as entries: a quantity, a metric, and whether there is one value per type."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch

from equipot.data._quantities import Quantity, as_quantity
from equipot.data._statistics import Metric, as_metric
from equipot.errors import ConfigError, DataError, did_you_mean, problem
from equipot.graph import Graph
from equipot.model._context import pair_index

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


def statistic_entry(options: Mapping[str, Any], where: str) -> StatisticEntry:
    """The entry that a mapping of ``DataStatisticsManager`` describes.

    Args:
        options: ``field``, ``metric``, ``per_type``, ``ignore_nan``, ``name``.
        where: Dotted path that messages start with.

    Raises:
        ConfigError: With all problems.
    """
    allowed = ("field", "metric", "per_type", "ignore_nan", "name")
    problems = [
        problem(f"{where}.{key}", "unknown option", hint=did_you_mean(key, allowed) or f"options: {', '.join(allowed)}")
        for key in options
        if key not in allowed
    ]
    problems += [
        problem(f"{where}.{key}", "required option is missing") for key in ("field", "metric") if key not in options
    ]
    problems += [
        problem(f"{where}.{key}", "must be true or false", got=options[key])
        for key in ("per_type", "ignore_nan")
        if not isinstance(options.get(key, False), bool)
    ]
    if problems:
        raise ConfigError(problems)
    try:
        quantity, metric = as_quantity(options["field"]), as_metric(options["metric"])
    except ConfigError as error:
        raise ConfigError(f"{where}: {text}" for text in error.problems) from error
    per_type = options.get("per_type", False)
    if per_type and quantity.per == "frame":
        raise ConfigError(problem(f"{where}.per_type", "needs a field per atom or edge", got=options["field"]))
    name = options.get("name") or _name_of(options["field"], metric, per_type=per_type)
    return StatisticEntry(name, quantity, metric, per_type, options.get("ignore_nan", False))


def _name_of(field: str | Quantity, metric: Metric, *, per_type: bool) -> str:
    short = {"RootMeanSquare": "rms", "StandardDeviation": "std", "MeanAbsolute": "mean_abs"}
    what = field if isinstance(field, str) else type(field).__name__
    kind = type(metric).__name__
    return f"{'per_type_' if per_type else ''}{what}_{short.get(kind, kind.lower())}"


def metric_options(metric: Metric) -> dict[str, Any]:
    """Options of a metric, without its values so far."""
    return {key: value for key, value in sorted(vars(metric).items()) if not key.startswith("_")}
