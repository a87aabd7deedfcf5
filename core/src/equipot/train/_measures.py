"""The abstract classes of losses and metrics, for core and plugins."""

from __future__ import annotations

import abc
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import torch
import torchmetrics

from equipot import _processes
from equipot.errors import ConfigError, problem, unknown
from equipot.graph import Graph

WEIGHTED_SUM = "weighted_sum"
"""Name of the weighted sum of the terms of a loss, or of some of the metrics."""


class Accumulator(torch.nn.Module, abc.ABC):
    """Compares predictions with labels batch by batch and gives values for a whole epoch."""

    @property
    @abc.abstractmethod
    def labels(self) -> tuple[str, ...]:
        """Labels that the data must contain and the model must predict."""

    @property
    def predictions(self) -> tuple[str, ...] | None:
        """Outputs of the model that it reads, with a weight or without; None, the default, for any of them.

        Training does not compute forces and stress that neither its loss nor its metrics read.
        """
        return None

    @property
    @abc.abstractmethod
    def names(self) -> tuple[str, ...]:
        """Names of the values in ``epoch_values``; values of single types appear only after ``bind``."""

    def bind(self, type_names: Sequence[str]) -> None:
        """Receive the model's type names, in the order of ``atom_types``, before the first batch.

        Raises:
            ConfigError: If options do not match these types.
        """

    @abc.abstractmethod
    def update(self, outputs: Graph, batch: Graph) -> None:
        """Add a batch to the epoch; labels that are absent by their ``<label>_mask`` are left out and never read."""

    @abc.abstractmethod
    def epoch_values(self) -> dict[str, torch.Tensor]:
        """Every value that the epoch's batches determine, over all processes: name to scalar."""

    @abc.abstractmethod
    def reset(self) -> None:
        """Start a new epoch."""


class Measure(Accumulator):
    """A loss or a set of metrics: errors of predictions, accumulated over an epoch.

    Running sums are states of ``torchmetrics.Metric`` submodules, so that they are summed over processes and
    stored with checkpoints. The constructor reads no data, so that configs are checked by calling it.

    Args:
        coefficients: Weight of each value in ``weighted_sum``, used without normalisation.
    """

    def __init__(self, coefficients: Mapping[str, float] | None = None) -> None:
        super().__init__()
        self._coefficients = dict(coefficients or {})
        self._changed = False

    @property
    def coefficients(self) -> dict[str, float]:
        """Weights in ``weighted_sum``; they sum to 1."""
        return dict(self._coefficients)

    def state(self) -> dict[str, Any]:
        """The sums of the epoch so far over all processes, for checkpoints: tensors and plain containers.

        With several processes all of them must call it.
        """
        return {"sums": {name: _metric_state(metric) for name, metric in self._metrics()}}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Continue from a stored ``state``; sums that it does not contain are left unchanged.

        Of several processes the first one takes them and the others start from nothing, so that their number may differ
        from that of the run which stored the state.
        """
        saved = state.get("sums", {})
        for name, metric in self._metrics():
            if name in saved:
                _load_metric_state(metric, saved[name])

    def _metrics(self) -> list[tuple[str, torchmetrics.Metric]]:
        return [(name, one) for name, one in self.named_modules() if isinstance(one, torchmetrics.Metric)]


def _metric_state(metric: torchmetrics.Metric) -> dict[str, Any]:
    found: dict[str, Any] = {"updates": metric._update_count}  # noqa: SLF001 - means of torchmetrics depend on it
    with metric.sync_context(should_sync=_adds_up(metric)):
        for key, value in metric.metric_state.items():
            found[key] = [item.clone() for item in value] if isinstance(value, list) else value.clone()
    return found


def _adds_up(metric: torchmetrics.Metric) -> bool:
    """Whether there are several processes, and what they have can be brought together as what one would have."""
    reductions = metric._reductions.values()  # noqa: SLF001 - torchmetrics shows them in no other way
    return _processes.share()[1] > 1 and all(callable(one) for one in reductions)


def _load_metric_state(metric: torchmetrics.Metric, state: Mapping[str, Any]) -> None:
    if _adds_up(metric) and _processes.share()[0] > 0:
        metric.reset()
        metric._update_count = int(state["updates"])  # noqa: SLF001 - see above
        return
    metric._update_count, metric._computed = int(state["updates"]), None  # noqa: SLF001 - see above
    device = metric.device
    for key in metric.metric_state.keys() & state.keys():
        value = state[key]
        if isinstance(metric._defaults[key], list) and not isinstance(value, list):  # noqa: SLF001 - joined by the sync
            value = [value]
        setattr(metric, key, [item.to(device) for item in value] if isinstance(value, list) else value.to(device))


class Metrics(Measure, abc.ABC):
    """Errors that are logged and monitored, without gradients."""


class Loss(Measure):
    """The quantity that training minimises: a weighted sum of terms, whose coefficients may change during training.

    A term with coefficient 0 is logged, and contributes as soon as its coefficient is changed.
    """

    def set_coefficients(self, coefficients: Mapping[str, float], where: str = "loss.coefficients") -> None:
        """Change the weights; from then on they are stored in checkpoints.

        Args:
            coefficients: A weight for every term, normalised here to sum 1.
            where: Place named in errors.

        Raises:
            ConfigError: If a term is unknown or missing, a weight is negative, or all are 0.
        """
        self._coefficients = self.checked_coefficients(coefficients, where)
        self._changed = True

    def checked_coefficients(self, coefficients: Mapping[str, float], where: str) -> dict[str, float]:
        """The normalised weights that ``set_coefficients`` would set; it raises the same errors."""
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
        """Compute the loss of a batch and add the batch to the epoch's sums.

        Args:
            outputs: Predictions of the model.
            batch: Frames with labels.

        Returns:
            Each term and ``weighted_sum``, which is differentiated: name to scalar.
        """

    def update(self, outputs: Graph, batch: Graph) -> None:
        """Add a batch to the epoch's sums."""
        self(outputs, batch)

    def state(self) -> dict[str, Any]:
        """The sums of the epoch so far, and the coefficients if they were changed."""
        return super().state() | ({"coefficients": self.coefficients} if self._changed else {})

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Continue from a stored ``state``."""
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


def weight_problems(
    given: Mapping[str, float | None], known: Collection[str], where: str, kind: str = "name"
) -> list[str]:
    """A message for each weight that is negative or has an unknown name; a weight of None counts as 0."""
    problems = [unknown(f"{where}.{name}", name, known, kind) for name in given if name not in known]
    for name, weight in given.items():
        if weight is not None and weight < 0:
            problems.append(problem(f"{where}.{name}", "must not be negative", got=weight))
    return problems


def normalised(weights: Mapping[str, float], where: str) -> dict[str, float]:
    """Weights divided by their sum; a ConfigError that names ``where`` if none of them is greater than 0."""
    total = sum(weights.values())
    if total <= 0:
        raise ConfigError(problem(where, "one must be greater than 0", got=dict(weights)))
    return {name: weight / total for name, weight in weights.items()}


def weighted_sum(weights: Mapping[str, float], values: Mapping[str, torch.Tensor]) -> torch.Tensor:
    """Sum of the scalars that have a weight; there must be at least one weight."""
    first, *others = (weight * values[name] for name, weight in weights.items())
    return torch.as_tensor(sum(others, start=first))
