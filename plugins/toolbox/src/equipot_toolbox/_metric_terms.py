"""One entry of a ``MetricsManager``: its options, and the term that updates its metric or metrics of types."""

from __future__ import annotations

import copy
import dataclasses
import warnings
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
import torchmetrics

from equipot.errors import ConfigError, problem
from equipot.graph import Graph
from equipot.options import Options
from equipot.quantities import Compared, compare
from equipot.train import WEIGHTED_SUM, Term, mean_over_processes
from equipot_toolbox._error_metrics import ElementwiseMetric, ReductionOptions, RootMeanSquaredError
from equipot_toolbox._fields import Comparison


@dataclasses.dataclass(frozen=True, kw_only=True)
class MetricEntry(Options):
    """One metric of a ``MetricsManager``."""

    metric: Any
    """A ``torchmetrics.Metric``, e.g. ``equipot_toolbox.MeanSquaredError``."""

    field: Any = None
    """Field, ``equipot.data.PerAtomModifier`` or ``equipot_toolbox.MappedFieldModifier``; None: the metric receives
    all predictions and the whole batch as two mappings."""

    coeff: float | None = None
    """Weight in ``weighted_sum``; None: the metric is only logged, and its label may be missing."""

    name: str | None = None
    """Name in logs and for coefficients; by default made from field and metric, e.g. ``forces_mse``."""

    per_type: bool = False
    """Compute the metric for the atoms of each type separately, and take the mean over types."""

    per_type_coeffs: dict[str, float] | None = None
    """Weights of the types in that mean, greater than 0; default: 1 each."""

    ignore_nan: bool = False
    """Count NaN in labels as absent."""

    def problems(self) -> Iterable[str]:
        """Options that are wrong or do not fit together."""
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


class RowCount(torchmetrics.Metric):
    """Number of rows that each group has received, over all processes."""

    full_state_update = False
    rows: torch.Tensor

    def __init__(self, groups: int) -> None:
        super().__init__()
        self.add_state("rows", torch.zeros(groups, dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, rows: torch.Tensor) -> None:
        """Add a number of rows for each group, shape [groups]."""
        self.rows = self.rows + rows.to(self.rows)

    def compute(self) -> torch.Tensor:
        """Rows of each group."""
        return self.rows


class MetricTerm(Term):
    """One entry with its metric, or with one metric for each type.

    Args:
        entry: The options.
        name: Name in logs.
        compared: Predictions and labels to compare; None: the metric receives everything.
        where: Place named in errors.
    """

    labels: tuple[str, ...] = ()

    def __init__(self, entry: MetricEntry, name: str, compared: Comparison | None, where: str) -> None:
        super().__init__()
        self.entry, self.name, self.compared, self.where = entry, name, compared, where
        self.labels = () if compared is None else compared.labels
        self._start({} if entry.per_type else {"": 1.0})

    def _start(self, weights: Mapping[str, float]) -> None:
        """Make a metric for each group of atoms; a group's key is the suffix in the names of its values."""
        self.groups, self.weights = list(weights), list(weights.values())
        self.metrics = torch.nn.ModuleList(copy.deepcopy(self.entry.metric) for _ in weights)
        self.seen = RowCount(len(weights))

    def bind(self, type_names: Sequence[str]) -> None:
        """Make a metric for each type, if the entry is per type; weights must be given for exactly these types."""
        if not self.entry.per_type:
            return
        given = self.entry.per_type_coeffs or dict.fromkeys(type_names, 1.0)
        if given.keys() != set(type_names):
            what = f"must name exactly the types {list(type_names)}"
            raise ConfigError(problem(f"{self.where}.per_type_coeffs", what, got=given))
        self._start({f"_{name}": given[name] for name in type_names})

    @property
    def names(self) -> tuple[str, ...]:
        """Name of the entry, and one name for each type once these are known."""
        return (self.name, *(f"{self.name}{group}" for group in self.groups if group))

    def _selected(self, found: Compared, batch: Graph) -> list[tuple[int, tuple[torch.Tensor, ...]]]:
        """Count the rows of each group; group, and predictions, labels and weights (if any) of those that have any."""
        masks = [found.present]
        if self.entry.per_type:
            masks = [found.present & (batch["atom_types"] == group) for group in range(len(self.groups))]
        counts = torch.stack([mask.sum() for mask in masks])
        self.seen.update(counts)
        parts = [found.predictions, found.labels]
        if found.weights is not None and isinstance(self.entry.metric, ElementwiseMetric):
            parts.append(found.weights)
        return [
            (group, tuple(part[mask] for part in parts))
            for group, (mask, count) in enumerate(zip(masks, counts.tolist(), strict=True))
            if count
        ]

    def _rows(self, outputs: Graph, batch: Graph) -> Compared | None:
        """Predictions, labels and which rows have both; None if the batch lacks the label."""
        assert self.compared is not None  # noqa: S101 - for the type checker
        if not self.groups:
            where = self.where.rpartition(".")[0]
            raise ConfigError(problem(where, "the types are not known", hint="call bind, or give type_names"))
        return compare(self.compared.pred, self.compared.target, outputs, batch, ignore_nan=self.entry.ignore_nan)

    def _share(self, parts: Sequence[torch.Tensor]) -> torch.Tensor | float:
        """What makes the weighted mean of a batch its part of that of the train set, where weights have mean 1."""
        options = getattr(self.entry.metric, "options", None)
        is_sum = isinstance(options, ReductionOptions) and options.reduction == "sum"
        if len(parts) < 3 or is_sum:
            return 1.0
        share = parts[2].mean()
        return share.sqrt() if isinstance(self.entry.metric, RootMeanSquaredError) else share

    def forward(self, outputs: Graph, batch: Graph) -> torch.Tensor:
        """Add a batch and return its value; 0 (with gradient 0) if it has no label."""
        if self.compared is None:
            self.seen.update(torch.ones(1))
            return self.metrics[0](outputs, batch)
        found = self._rows(outputs, batch)
        if found is None:
            mean_over_processes(torch.zeros(1, dtype=torch.float64, device=batch["num_atoms"].device))
            return torch.zeros((), dtype=torch.float64, device=batch["num_atoms"].device)
        rows = found.present.sum().to(torch.float64).reshape(1)
        mean = mean_over_processes(rows)
        value, total = found.predictions[:0].sum(), 0.0
        for group, parts in self._selected(found, batch):
            value = value + self.weights[group] * self.metrics[group](*parts) * self._share(parts)
            total += self.weights[group]
        if mean is not rows:  # by the rows of this process: exact for everything that is a mean over them
            value = value * (rows / torch.where(mean > 0, mean, 1.0))[0].to(value.dtype)
        return value / total if total else value

    def update(self, outputs: Graph, batch: Graph) -> None:
        """Add a batch."""
        if self.compared is None:
            self.seen.update(torch.ones(1))
            self.metrics[0].update(outputs, batch)  # type: ignore[operator]
        elif (found := self._rows(outputs, batch)) is not None:
            for group, parts in self._selected(found, batch):
                self.metrics[group].update(*parts)  # type: ignore[operator]

    def epoch_values(self) -> dict[str, torch.Tensor]:
        """Value over the epoch, and the values of types that occurred."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # torchmetrics warns about metrics without any update
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
        return {self.name: mean} | {f"{self.name}{group}": one for group, one in values.items() if group}

    def reset(self) -> None:
        """Start a new epoch."""
        self.seen.reset()
        for metric in self.metrics:
            metric.reset()  # type: ignore[operator]


def _scalar(value: Any, name: str) -> torch.Tensor:
    if not isinstance(value, torch.Tensor) or value.numel() != 1:
        raise ConfigError(problem(f"metric {name}", "must give one number", got=value))
    return value.detach().reshape(()).to(torch.float64)
