"""Errors as torchmetrics: mean absolute, squared, largest, Huber and stratified Huber.

Averages are taken in float64 over all scalar entries of an epoch; they are not means of means.
"""

from __future__ import annotations

import abc
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, ClassVar, Literal

import torch
from pydantic import Field
from torch.nn import functional as F
from torchmetrics import Metric

from equipot.errors import ConfigError, problem
from equipot.options import Configurable, Options


@dataclass(frozen=True, kw_only=True)
class ReductionOptions(Options):
    """Options of metrics that can be sums."""

    reduction: Literal["mean", "sum"] = "mean"
    """``mean`` over the entries or their ``sum``."""


@dataclass(frozen=True, kw_only=True)
class HuberOptions(ReductionOptions):
    """Options of ``HuberLoss``."""

    delta: Annotated[float, Field(gt=0.0)] = 1.0
    """Error above which the function is linear, in the unit of the field."""


@dataclass(frozen=True, kw_only=True)
class StratifiedHuberOptions(ReductionOptions):
    """Options of ``StratifiedHuberForceLoss``."""

    delta_dict: dict[float | str, float] = field(kw_only=False)
    """At least two ranges of ``|label|``: lower bound to the delta in this range, both in the unit of the field."""


class ElementwiseMetric(Configurable, Metric, abc.ABC):
    """Mean or sum over entries of a function of prediction and label."""

    is_differentiable = True
    higher_is_better = False
    full_state_update = False
    short_name: ClassVar[str]
    """End of the default name of a metric, after the field."""
    total: torch.Tensor
    count: torch.Tensor

    def __post_init__(self) -> None:
        """Add the empty sums."""
        super().__post_init__()
        self.add_state("total", torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("count", torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")

    @abc.abstractmethod
    def entries(self, preds: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """The function, of the same shape as predictions and labels."""

    def update(self, preds: torch.Tensor, target: torch.Tensor, weights: torch.Tensor | None = None) -> None:
        """Add predictions.

        Args:
            preds: Predictions, shape [n, …].
            target: Labels, the same shape.
            weights: Weight of each row, shape [n]; means are then ``sum(w x) / sum(w)``.
        """
        values = self.entries(preds, target).to(torch.float64)
        if weights is None:
            self.total = self.total + values.sum()
            self.count = self.count + values.numel()
            return
        rows = values.reshape(len(weights), -1) * weights.unsqueeze(1)
        self.total = self.total + rows.sum()
        self.count = self.count + weights.sum() * rows.shape[1]

    def compute(self) -> torch.Tensor:
        """The mean or sum, a scalar."""
        if isinstance(self.options, ReductionOptions) and self.options.reduction == "sum":
            return self.total
        return self.total / self.count.clamp(min=1.0)


class MeanAbsoluteError(ElementwiseMetric):
    """Mean of ``|prediction - label|``."""

    short_name = "mae"

    def entries(self, preds: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Absolute differences."""
        return (preds - target).abs()


class MeanSquaredError(ElementwiseMetric):
    """Mean of ``(prediction - label)²``."""

    short_name = "mse"

    def entries(self, preds: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Squared differences."""
        return (preds - target).square()


class RootMeanSquaredError(MeanSquaredError):
    """Square root of the mean of ``(prediction - label)²``."""

    short_name = "rmse"

    def compute(self) -> torch.Tensor:
        """The root, with gradient 0 if the error is 0."""
        mean = super().compute()
        return torch.where(mean > 0.0, mean, 1.0).sqrt() * (mean > 0.0)


class MaximumAbsoluteError(Metric):
    """Largest ``|prediction - label|``."""

    is_differentiable = True
    higher_is_better = False
    full_state_update = False
    short_name: ClassVar[str] = "maxabserr"
    largest: torch.Tensor

    def __init__(self) -> None:
        super().__init__()
        self.add_state("largest", torch.zeros((), dtype=torch.float64), dist_reduce_fx="max")

    def update(self, preds: torch.Tensor, target: torch.Tensor) -> None:
        """Add predictions.

        Args:
            preds: Predictions, shape [n, …], not empty.
            target: Labels, the same shape.
        """
        self.largest = torch.maximum(self.largest, (preds - target).abs().max().to(torch.float64))

    def compute(self) -> torch.Tensor:
        """The largest error, a scalar."""
        return self.largest


class HuberLoss(ElementwiseMetric, options=HuberOptions):
    """Huber's function of the differences, as ``torch.nn.HuberLoss``.

    It is half the square up to ``delta`` and ``delta * (|difference| - delta / 2)`` beyond.
    """

    options: HuberOptions
    short_name = "huber"

    def entries(self, preds: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Huber's function."""
        return F.huber_loss(preds, target, reduction="none", delta=self.options.delta)


class StratifiedHuberForceLoss(ElementwiseMetric, options=StratifiedHuberOptions):
    """Huber's function with a ``delta`` for each range of the label's magnitude.

    Vectors shorter than the smallest bound get half the squared difference.
    """

    options: StratifiedHuberOptions
    short_name = "stratified_huber"

    def __post_init__(self) -> None:
        """Sort the ranges."""
        super().__post_init__()
        ranges = _ranges(self.options.delta_dict)
        self.bounds = [bound for bound, _ in ranges]
        self.deltas = [torch.inf, *(delta for _, delta in ranges)]

    def entries(self, preds: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Huber's function with the delta of each row's range; arguments have the shape [n, 3]."""
        length = torch.linalg.vector_norm(target, dim=-1, keepdim=True)
        bounds = torch.tensor(self.bounds, dtype=length.dtype, device=length.device)
        deltas = torch.tensor(self.deltas, dtype=length.dtype, device=length.device)
        delta = deltas[torch.bucketize(length, bounds, right=True)]
        difference = (preds - target).abs()
        inner = torch.minimum(difference, delta)
        linear = torch.where(difference > delta, difference - inner, 0.0)
        return 0.5 * inner.square() + torch.where(linear > 0.0, delta, 0.0) * linear


def _ranges(delta_dict: Mapping[float | str, float]) -> list[tuple[float, float]]:
    """Bounds in ascending order with their deltas; keys of a YAML mapping may be text."""
    where = "StratifiedHuberForceLoss.delta_dict"
    problems = []
    ranges = []
    for key, delta in delta_dict.items():
        try:
            ranges.append((float(key), float(delta)))
        except ValueError:
            problems.append(problem(where, "bounds and deltas must be numbers", got={key: delta}))
    problems += [
        problem(f"{where}.{bound:g}", "bound must be at least 0 and delta greater than 0", got=delta)
        for bound, delta in ranges
        if bound < 0.0 or not delta > 0.0
    ]
    if len({bound for bound, _ in ranges}) < 2 and not problems:
        problems.append(problem(where, "needs at least two ranges", got=delta_dict, hint="else use HuberLoss"))
    if problems:
        raise ConfigError(problems)
    return sorted(ranges)
