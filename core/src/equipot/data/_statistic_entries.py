"""Statistics as entries: a quantity, what is computed of it, and whether there is one value per type."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch

from equipot.data._statistics import Reduction, as_reduction
from equipot.errors import DataError, problem, problems_of
from equipot.graph import Graph
from equipot.model._context import pair_index
from equipot.options import Options
from equipot.quantities import Quantity, as_quantity

StatisticKind = Literal["scalar", "per_type", "per_type_pair"]
"""A number, ``{type: number}``, or ``{"centre_neighbour": number}``."""

StatisticValue = float | dict[str, float]


@dataclass(frozen=True, kw_only=True)
class StatisticEntry(Options):
    """One statistic; also what an entry of ``DataStatisticsManager`` says."""

    field: Any
    """What is looked at: a field's name, ``PerAtomModifier``, ``NumNeighbors`` or ``EdgeLengths``."""

    metric: Any
    """What is computed of it: ``Mean``, ``RootMeanSquare``, ..."""

    per_type: bool = False
    """One value per type of the atom, or per ordered pair of types of the edge."""

    ignore_nan: bool = False
    """Leave NaN out instead of refusing it."""

    name: str = ""
    """Name in ``${training_data_stats:NAME}``; by default it follows from the others."""

    def __post_init__(self) -> None:
        """Check the fields, and name the statistic if the user does not."""
        super().__post_init__()
        if not self.name:
            short = {"RootMeanSquare": "rms", "StandardDeviation": "std", "MeanAbsolute": "mean_abs"}
            what = self.field if isinstance(self.field, str) else type(self.field).__name__
            kind = type(self.reduction).__name__
            name = f"{'per_type_' if self.per_type else ''}{what}_{short.get(kind, kind.lower())}"
            object.__setattr__(self, "name", name)

    def problems(self) -> Iterator[str]:
        """Unknown fields and metrics, and values per type of what has no type."""
        found = list(problems_of(lambda: self.quantity, lambda: self.reduction))
        yield from (text.removeprefix("statistics.") for text in found)
        if not found and self.per_type and self.quantity.per == "frame":
            yield problem("per_type", "needs a field per atom or edge", got=self.field)

    @functools.cached_property
    def quantity(self) -> Quantity:
        """What gives the values."""
        return as_quantity(self.field)

    @functools.cached_property
    def reduction(self) -> Reduction:
        """What makes one number of them."""
        return as_reduction(self.metric)

    @property
    def kind(self) -> StatisticKind:
        """What the value looks like."""
        if not self.per_type:
            return "scalar"
        return "per_type_pair" if self.quantity.per == "edge" else "per_type"

    def fingerprint(self) -> list[Any]:
        """All that the value depends on besides the data, in plain containers, for the cache."""
        reduction = self.reduction
        return [repr(self.quantity), type(reduction).__name__, reduction.options(), self.per_type, self.ignore_nan]


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
        self._metrics = [entry.reduction.fresh() for _ in self._labels]

    def update(self, batch: Graph) -> None:
        """Take in the values that count."""
        found = self._entry.quantity.values(batch)
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
            what = ", ".join(self._entry.quantity.requires)
            of_types = "" if bad == [""] else f" for the types {bad}"
            raise DataError(f"the train set has no (or too few, or NaN) values of {what}{of_types}")
        return values[""] if self._entry.kind == "scalar" else values
