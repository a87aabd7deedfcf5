"""What a loss and metrics are: abstract classes that core's own and those of plugins derive from."""

from __future__ import annotations

import abc
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
import torchmetrics

from equipot.errors import ConfigError
from equipot.train._measure import check_names, normalised

if TYPE_CHECKING:
    from equipot.graph import Graph

WEIGHTED_SUM = "weighted_sum"
"""Name of the weighted sum of the terms of a loss, or of some of the metrics."""


class Metrics(torch.nn.Module, abc.ABC):
    """Numbers that compare predictions with labels, accumulated over an epoch.

    Running sums are states of ``torchmetrics.Metric`` modules within, so that they are summed over
    processes and stored with checkpoints. The constructor reads no data; configs are checked with it.
    """

    @property
    @abc.abstractmethod
    def labels(self) -> tuple[str, ...]:
        """Labels that the data must have and the model must predict."""

    @property
    @abc.abstractmethod
    def names(self) -> tuple[str, ...]:
        """Names under which ``epoch_values`` are logged; ``weighted_sum`` is what the objective follows."""

    def bind(self, type_names: Sequence[str]) -> None:
        """Learn the model's types, before the first batch.

        Args:
            type_names: Names of the types.

        Raises:
            ConfigError: If options contradict them.
        """

    @abc.abstractmethod
    def update(self, outputs: Graph, batch: Graph) -> None:
        """Add a batch; absent labels are left out and never read.

        Args:
            outputs: Of the model.
            batch: With labels, and ``<label>_mask`` where some are absent.
        """

    @abc.abstractmethod
    def epoch_values(self) -> dict[str, torch.Tensor]:
        """Everything that has a value, over the epoch and all processes."""

    @abc.abstractmethod
    def reset(self) -> None:
        """Start a new epoch."""

    def state(self) -> dict[str, Any]:
        """Where the epoch is, for checkpoints: tensors and plain containers."""
        return {"sums": {name: _metric_state(metric) for name, metric in self._metrics()}}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Go on where ``state`` was taken; what is not in it stays as it is."""
        saved = state.get("sums", {})
        for name, metric in self._metrics():
            if name in saved:
                _load_metric_state(metric, saved[name])

    def _metrics(self) -> list[tuple[str, torchmetrics.Metric]]:
        return [(name, one) for name, one in self.named_modules() if isinstance(one, torchmetrics.Metric)]


def _metric_state(metric: torchmetrics.Metric) -> dict[str, Any]:
    found: dict[str, Any] = {"updates": metric._update_count}  # noqa: SLF001 - means of torchmetrics depend on it
    for key, value in metric.metric_state.items():
        found[key] = [item.clone() for item in value] if isinstance(value, list) else value.clone()
    return found


def _load_metric_state(metric: torchmetrics.Metric, state: Mapping[str, Any]) -> None:
    metric._update_count, metric._computed = int(state["updates"]), None  # noqa: SLF001 - see above
    for key in metric.metric_state.keys() & state.keys():
        value = state[key]
        device = metric.device
        setattr(metric, key, [item.to(device) for item in value] if isinstance(value, list) else value.to(device))


class Loss(Metrics):
    """What training minimises: a sum of terms, weighted by coefficients that may change while training.

    Args:
        coefficients: Term to weight, as they stand; 0 keeps a term that is observed only until its
            coefficient changes.
    """

    def __init__(self, coefficients: Mapping[str, float]) -> None:
        super().__init__()
        self._coefficients = dict(coefficients)
        self._changed = False

    @property
    def coefficients(self) -> dict[str, float]:
        """Term to weight; they sum to 1."""
        return dict(self._coefficients)

    def set_coefficients(self, coefficients: Mapping[str, float], where: str = "loss.coefficients") -> None:
        """Change the weights; checkpoints store them from now on.

        Args:
            coefficients: A weight for every term, normalised here to sum 1.
            where: Place named in errors.

        Raises:
            ConfigError: If a term is unknown or missing, a weight is negative, or all are 0.
        """
        self._coefficients = self.checked_coefficients(coefficients, where)
        self._changed = True

    def checked_coefficients(self, coefficients: Mapping[str, float], where: str) -> dict[str, float]:
        """The weights that ``set_coefficients`` would set.

        Args:
            coefficients: A weight for every term.
            where: Place named in errors.

        Raises:
            ConfigError: As ``set_coefficients``.
        """
        from equipot.errors import problem

        given = {name: float(value) for name, value in coefficients.items()}
        problems = check_names(given, list(self._coefficients), where)
        if missing := [name for name in self._coefficients if name not in given]:
            problems.append(problem(where, f"no weight for {', '.join(missing)}", got=given))
        if problems:
            raise ConfigError(problems)
        return dict.fromkeys(self._coefficients, 0.0) | normalised(given, where)

    @abc.abstractmethod
    def forward(self, outputs: Graph, batch: Graph) -> dict[str, torch.Tensor]:
        """The terms and their weighted sum for a batch, and their addition to the epoch's sums.

        Args:
            outputs: Of the model.
            batch: With labels.

        Returns:
            Name to scalar; ``weighted_sum`` is what is differentiated.
        """

    def update(self, outputs: Graph, batch: Graph) -> None:
        """Add a batch to the epoch's sums."""
        self(outputs, batch)

    def state(self) -> dict[str, Any]:
        """As for metrics, with the coefficients once they were changed."""
        return super().state() | ({"coefficients": self.coefficients} if self._changed else {})

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Go on where ``state`` was taken."""
        super().load_state(state)
        if "coefficients" in state:
            self.set_coefficients(state["coefficients"])
