"""One entry of a ``MetricsManager``: its options, and its metric (or one for each type) at work."""

from __future__ import annotations

import copy
import dataclasses
import warnings
from collections.abc import Iterable, Mapping
from typing import Any

import torch
import torchmetrics

from equipot.errors import ConfigError, problem
from equipot.graph import Graph
from equipot.options import Options
from equipot.train import WEIGHTED_SUM
from equipot_toolbox._fields import Comparison


@dataclasses.dataclass(frozen=True, kw_only=True)
class MetricEntry(Options):
    """One metric of a ``MetricsManager``."""

    metric: Any
    """A ``torchmetrics.Metric``, e.g. ``equipot_toolbox.MeanSquaredError``."""

    field: Any = None
    """Field, ``equipot.data.PerAtomModifier`` or ``equipot_toolbox.MappedFieldModifier``; None: the
    metric gets all predictions and the whole batch as two mappings."""

    coeff: float | None = None
    """Weight in ``weighted_sum``; None: observed only and its label not required."""

    name: str | None = None
    """Name in logs and for coefficients; default: the field and the metric, e.g. ``forces_mse``."""

    per_type: bool = False
    """Take the metric of each type's atoms by itself, then their mean."""

    per_type_coeffs: dict[str, float] | None = None
    """Weights of the types in that mean, greater than 0; default: 1 each."""

    ignore_nan: bool = False
    """Leave out NaN in labels, beside labels that are absent, which always are left out."""

    def problems(self) -> Iterable[str]:
        """Problems between options."""
        if not isinstance(self.metric, torchmetrics.Metric):
            yield problem("metric", "must be a torchmetrics.Metric", got=self.metric)
        if self.coeff is not None and self.coeff < 0.0:
            yield problem("coeff", "must not be negative", got=self.coeff)
        if self.name in (WEIGHTED_SUM, ""):
            yield problem("name", "is taken", got=self.name)
        if self.field is None and (self.per_type or self.ignore_nan):
            yield problem("field", "per_type and ignore_nan need a field")
        if self.per_type_coeffs is not None:
            if not self.per_type:
                yield problem("per_type_coeffs", "needs per_type: true")
            if not self.per_type_coeffs or min(self.per_type_coeffs.values()) <= 0.0:
                yield problem("per_type_coeffs", "must be greater than 0 for every type", got=self.per_type_coeffs)


Rows = tuple[torch.Tensor, torch.Tensor, torch.Tensor]
"""Predictions and labels [n, …], and which rows have both [n]."""


class RowCount(torchmetrics.Metric):
    """Rows seen by each of some groups, over all processes.

    Args:
        groups: Number of groups.
    """

    full_state_update = False
    rows: torch.Tensor

    def __init__(self, groups: int) -> None:
        super().__init__()
        self.add_state("rows", torch.zeros(groups, dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, rows: torch.Tensor) -> None:
        """Add rows.

        Args:
            rows: How many in each group, shape [groups].
        """
        self.rows = self.rows + rows.to(self.rows)

    def compute(self) -> torch.Tensor:
        """Rows of each group."""
        return self.rows


class Term(torch.nn.Module):
    """One entry with its metric, or one metric for each type.

    Args:
        entry: The options.
        name: Name in logs.
        compared: What is compared; None: everything.
        weights: Weight of each type; None: all atoms alike.
    """

    def __init__(
        self, entry: MetricEntry, name: str, compared: Comparison | None, weights: Mapping[str, float] | None
    ) -> None:
        super().__init__()
        self.entry, self.name, self.compared = entry, name, compared
        self.groups = [""] if weights is None else [f"_{type_name}" for type_name in weights]
        self.weights = [1.0] if weights is None else list(weights.values())
        self.by_type = weights is not None
        self.metrics = torch.nn.ModuleList(copy.deepcopy(entry.metric) for _ in self.groups)
        self.seen = RowCount(len(self.groups))

    def _selected(self, found: Rows, batch: Graph) -> list[tuple[int, torch.Tensor, torch.Tensor]]:
        """Group, predictions and labels of the groups that have rows, which are counted."""
        pred, target, present = found
        masks = [present]
        if self.by_type:
            masks = [present & (batch["atom_types"] == group) for group in range(len(self.groups))]
        counts = torch.stack([mask.sum() for mask in masks])
        self.seen.update(counts)
        return [
            (group, pred[mask], target[mask])
            for group, (mask, count) in enumerate(zip(masks, counts.tolist(), strict=True))
            if count
        ]

    def _rows(self, outputs: Graph, batch: Graph) -> Rows | None:
        """Predictions, labels and which rows have both; None if there are none at all."""
        assert self.compared is not None  # noqa: S101 - for the type checker
        pred = self.compared.pred.values({**batch, **outputs})
        target = self.compared.target.values(batch)
        if pred is None or target is None:
            return None
        present = pred.present & target.present
        if self.entry.ignore_nan:
            present = present & ~target.rows.isnan().reshape(target.rows.shape[0], -1).any(1)
        return pred.rows, target.rows, present

    def forward(self, outputs: Graph, batch: Graph) -> torch.Tensor:
        """Add a batch and give its value; 0 (with gradient 0) if it has no label."""
        if self.compared is None:
            self.seen.update(torch.ones(1))
            return self.metrics[0](outputs, batch)
        found = self._rows(outputs, batch)
        if found is None:
            return torch.zeros((), dtype=torch.float64, device=batch["num_atoms"].device)
        value, total = found[0][:0].sum(), 0.0
        for group, pred, target in self._selected(found, batch):
            value = value + self.weights[group] * self.metrics[group](pred, target)
            total += self.weights[group]
        return value / total if total else value

    def update(self, outputs: Graph, batch: Graph) -> None:
        """Add a batch."""
        if self.compared is None:
            self.seen.update(torch.ones(1))
            self.metrics[0].update(outputs, batch)  # type: ignore[operator]
        elif (found := self._rows(outputs, batch)) is not None:
            for group, pred, target in self._selected(found, batch):
                self.metrics[group].update(pred, target)  # type: ignore[operator]

    def epoch_values(self) -> dict[str, torch.Tensor]:
        """Value over the epoch, and that of each type; of groups that had rows."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # of torchmetrics, on those that were never updated
            seen = self.seen.compute().reshape(-1).tolist()
            values = {
                group: _scalar(metric.compute(), self.name)  # type: ignore[operator]
                for group, metric, rows in zip(self.groups, self.metrics, seen, strict=True)
                if rows
            }
        if not values:
            return {}
        weights = {group: weight for group, weight in zip(self.groups, self.weights, strict=True) if group in values}
        mean = torch.stack([weights[group] * value for group, value in values.items()]).sum() / sum(weights.values())
        return {self.name: mean} | (
            {f"{self.name}{group}": one for group, one in values.items()} if self.by_type else {}
        )

    def reset(self) -> None:
        """Forget everything."""
        self.seen.reset()
        for metric in self.metrics:
            metric.reset()  # type: ignore[operator]


def _scalar(value: Any, name: str) -> torch.Tensor:
    if not isinstance(value, torch.Tensor) or value.numel() != 1:
        raise ConfigError(problem(f"metric {name}", "must give one number", got=value))
    return value.detach().reshape(()).to(torch.float64)
