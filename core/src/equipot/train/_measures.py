"""What losses and metrics have in common, and what sets them apart: abstract classes for core and plugins."""

from __future__ import annotations

import abc
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
import torchmetrics

from equipot import _processes
from equipot.errors import ConfigError, problem, unknown

if TYPE_CHECKING:
    from equipot.graph import Graph

WEIGHTED_SUM = "weighted_sum"
"""Name of the weighted sum of the terms of a loss, or of some of the metrics."""


class Measure(torch.nn.Module, abc.ABC):
    """Numbers that compare predictions with labels, accumulated over an epoch: a loss or metrics.

    Running sums are states of ``torchmetrics.Metric`` modules within, so that they are summed over
    processes and stored with checkpoints. The constructor reads no data; configs are checked with it.

    Args:
        coefficients: Weights in ``weighted_sum``, used without normalisation.
    """

    def __init__(self, coefficients: Mapping[str, float] | None = None) -> None:
        super().__init__()
        self._coefficients = dict(coefficients or {})
        self._changed = False

    @property
    def coefficients(self) -> dict[str, float]:
        """Weights in ``weighted_sum``; they sum to 1."""
        return dict(self._coefficients)

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
            # terms.forces.sums was sums.forces in checkpoints of November 2026
            earlier = ".".join(reversed(name.split(".")[1:]))
            if name in saved or earlier in saved:
                _load_metric_state(metric, saved.get(name) or saved[earlier])

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


class Metrics(Measure, abc.ABC):
    """What is logged and monitored, without gradients."""


class Loss(Measure):
    """What training minimises: a sum of terms, weighted by coefficients that may change while training.

    Its coefficients belong to terms; 0 keeps a term that is only observed until its coefficient changes.
    """

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
        given = {name: float(value) for name, value in coefficients.items()}
        problems = weight_problems(given, self._coefficients, where)
        if missing := [name for name in self._coefficients if name not in given]:
            problems.append(problem(where, f"no weight for {', '.join(missing)}", got=given))
        if problems:
            raise ConfigError(problems)
        weights = normalised(given, where)
        return {name: weights[name] for name in self._coefficients}

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
        """As for every measure, with the coefficients once they were changed."""
        return super().state() | ({"coefficients": self.coefficients} if self._changed else {})

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Go on where ``state`` was taken."""
        super().load_state(state)
        if "coefficients" in state:
            self.set_coefficients(state["coefficients"])


def mean_over_processes(counts: torch.Tensor) -> torch.Tensor:
    """Mean of what each process counted in its batch of a training step; all of them must call it.

    A sum divided by it, averaged over the processes as their gradients are, is the mean over all their batches, however
    unevenly the labels are shared out. Outside training, and with one process, it is the counts themselves.

    Args:
        counts: The same shape on all processes.
    """
    world = _processes.share()[1]
    if world == 1 or not torch.is_grad_enabled():
        return counts
    total = counts.detach().clone()
    torch.distributed.all_reduce(total)
    return total / world


def weight_problems(given: Mapping[str, float | None], known: Collection[str], where: str) -> list[str]:
    """What is wrong with single weights.

    Args:
        given: Name to weight; None is 0.
        known: Names that there are.
        where: Place named in messages.
    """
    problems = [unknown(f"{where}.{name}", name, known, "name") for name in given if name not in known]
    for name, weight in given.items():
        if weight is not None and weight < 0:
            problems.append(problem(f"{where}.{name}", "must not be negative", got=weight))
    return problems


def normalised(weights: Mapping[str, float], where: str) -> dict[str, float]:
    """Weights divided by their sum.

    Args:
        weights: Name to weight.
        where: Place named in errors.

    Raises:
        ConfigError: If none is greater than 0.
    """
    total = sum(weights.values())
    if total <= 0:
        raise ConfigError(problem(where, "one must be greater than 0", got=dict(weights)))
    return {name: weight / total for name, weight in weights.items()}
