"""Statistics as entries: a quantity, the number computed from it, and whether there is one number per type."""

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
from equipot.quantities import NEIGHBOR_COUNTS, NumNeighbors, Quantity, as_quantity

StatisticKind = Literal["scalar", "per_type", "per_type_pair"]
"""A number, ``{type: number}``, or ``{"centre_neighbour": number}``."""

StatisticValue = float | dict[str, float]


@dataclass(frozen=True, kw_only=True)
class StatisticEntry(Options):
    """One statistic; entries of ``DataStatisticsManager`` have the same options."""

    field: Any
    """The quantity: a field's name, ``PerAtomModifier``, ``NumNeighbors`` or ``EdgeLengths``."""

    metric: Any
    """The number computed from it: ``Mean``, ``RootMeanSquare``, ..."""

    per_type: bool = False
    """One value per type of the atom, or per ordered pair of types of the edge."""

    ignore_nan: bool = False
    """Leave NaN out; otherwise NaN is an error."""

    name: str = ""
    """Name in ``${training_data_stats:NAME}``; by default it is made from the other options."""

    def __post_init__(self) -> None:
        """Check the options, and make a name if none is given."""
        super().__post_init__()
        if not self.name:
            short = {"RootMeanSquare": "rms", "StandardDeviation": "std", "MeanAbsolute": "mean_abs"}
            what = self.field if isinstance(self.field, str) else type(self.field).__name__
            kind = type(self.reduction).__name__
            name = f"{'per_type_' if self.per_type else ''}{what}_{short.get(kind, kind.lower())}"
            object.__setattr__(self, "name", name)

    def problems(self) -> Iterator[str]:
        """Unknown fields and metrics, and values per type of fields per frame."""
        found = list(problems_of(lambda: self.quantity, lambda: self.reduction))
        yield from (text.removeprefix("statistics.") for text in found)
        if not found and self.per_type and self.quantity.per == "frame":
            yield problem("per_type", "needs a field per atom or edge", got=self.field)

    @functools.cached_property
    def quantity(self) -> Quantity:
        """The quantity that gives the values."""
        return as_quantity(self.field)

    @functools.cached_property
    def reduction(self) -> Reduction:
        """The reduction of the values to one number."""
        return as_reduction(self.metric)

    @property
    def kind(self) -> StatisticKind:
        """Whether the value is one number, or one per type or pair of types."""
        if not self.per_type:
            return "scalar"
        return "per_type_pair" if self.quantity.per == "edge" else "per_type"

    def fingerprint(self) -> list[Any]:
        """Everything except the data that the value depends on, in plain containers, for the cache."""
        reduction = self.reduction
        return [repr(self.quantity), type(reduction).__name__, reduction.options(), self.per_type, self.ignore_nan]


class EntryCollector:
    """Computes the statistic of one entry from batches.

    Args:
        entry: The statistic to compute.
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

    @property
    def requires(self) -> tuple[str, ...]:
        """Fields that it reads."""
        quantity = self._entry.quantity
        if isinstance(quantity, NumNeighbors):
            return (NEIGHBOR_COUNTS, "atom_types")
        edges = ("edge_index",) if self._entry.kind == "per_type_pair" else ()
        return (*quantity.requires, *edges, "atom_types")

    def update(self, batch: Graph) -> None:
        """Add the values of a batch that are present."""
        found = self._entry.quantity.values(batch)
        if found is None:
            return
        keep = found.present
        if self._entry.ignore_nan:
            keep = keep & ~found.rows.isnan().unsqueeze(-1).flatten(1).any(1)
        weights = found.weights_of(keep)
        if self._entry.kind == "scalar":
            self._add(0, found.rows[keep], weights)
            return
        kinds = batch["atom_types"]
        if self._entry.kind == "per_type_pair":
            centre, neighbour = batch["edge_index"]
            kinds = pair_index(kinds[centre], kinds[neighbour], self._num_types)
        kinds, rows = kinds[keep], found.rows[keep]
        for kind in torch.unique(kinds).tolist():
            self._add(kind, rows[kinds == kind], None if weights is None else weights[kinds == kind])

    def _add(self, group: int, rows: torch.Tensor, weights: torch.Tensor | None) -> None:
        metric = self._metrics[group]
        if weights is None or not metric.weighted:
            metric.update(rows)
        else:
            metric.update(rows, weights)  # type: ignore[call-arg]  # those that are weighted take them

    def result(self) -> StatisticValue:
        """The statistic.

        Raises:
            DataError: If there were no values, too few of them, or NaN among them.
        """
        values = {label: metric.compute() for label, metric in zip(self._labels, self._metrics, strict=True)}
        if bad := [label for label, value in values.items() if not math.isfinite(value)]:
            what = ", ".join(self._entry.quantity.requires)
            of_types = "" if bad == [""] else f" for the types {bad}"
            raise DataError(f"the train set has no (or too few, or NaN) values of {what}{of_types}")
        return values[""] if self._entry.kind == "scalar" else values
