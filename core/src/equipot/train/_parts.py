"""Parts of a training module: how weights are averaged, and how the gradients of a loss's terms are combined.

A part consists of options and has no state of its own. What it has to remember is kept in buffers of the training
module, so that it is stored in checkpoints. The methods of the two kinds of parts have different names, so that the
options of a training module can be both at once.
"""

from __future__ import annotations

import abc
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import torch
from pydantic import Field

from equipot.options import Options

if TYPE_CHECKING:
    from equipot.train._module import LightningModule


@dataclass(frozen=True, kw_only=True)
class WeightAverage(Options, abc.ABC):
    """How the weights of a second model, ``ema`` of the training module, follow the trained weights.

    Validation, test and stored results use the second model; weights are not swapped.
    """

    def start_average(self, module: LightningModule) -> None:
        """Register buffers of the module for what the average has to remember; called once, when it is created.

        Args:
            module: The training module, which has ``model`` and its copy ``ema`` already.
        """

    def prepare_optimizer(self, optimizer: torch.optim.Optimizer) -> None:
        """Check and prepare the optimizer, before the first step.

        Raises:
            ConfigError: If the average does not work with this optimizer.
        """

    @abc.abstractmethod
    def move_average(self, module: LightningModule) -> None:
        """Move the parameters of ``ema``; called after each optimizer step, without gradients.

        The module copies the buffers afterwards.

        Args:
            module: The training module; its ``parameter_pairs`` are the averaged and the current parameters.
        """


@dataclass(frozen=True, kw_only=True)
class ExponentialMovingAverage(WeightAverage):
    """Exponential moving average of the weights.

    After the n-th optimizer step (n from 0) the average moves towards the weights by 1 - d with
    d = min(ema_decay, (1 + n) / (10 + n)).
    """

    ema_decay: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.999
    """Largest decay d of the average, at least 0 and below 1."""

    def start_average(self, module: LightningModule) -> None:
        """Register the number of steps."""
        module.register_buffer("ema_updates", torch.zeros((), dtype=torch.int64))

    def move_average(self, module: LightningModule) -> None:
        """Move the averaged parameters towards the current ones."""
        updates = module.get_buffer("ema_updates")
        done = int(updates)
        decay = min(self.ema_decay, (1 + done) / (10 + done))
        averaged, current = module.parameter_pairs
        torch._foreach_lerp_(averaged, current, 1.0 - decay)
        updates += 1


@dataclass(frozen=True, kw_only=True)
class GradientCombination(Options, abc.ABC):
    """How the gradients of a loss's terms become those of the parameters."""

    def check_trainer(self, module: LightningModule) -> None:
        """Check the trainer when training starts.

        Raises:
            ConfigError: If the combination does not work with its settings.
        """

    @abc.abstractmethod
    def combine_gradients(self, module: LightningModule, terms: Mapping[str, torch.Tensor]) -> None:
        """Add to the gradients of the model's parameters, in place of the gradients of the weighted sum.

        Args:
            module: The training module; gradients must be divided by ``trainer.accumulate_grad_batches``.
            terms: The terms of the loss for the batch, by name: scalars with a graph.
        """

    def clipping(self, value: float | None, algorithm: str | None) -> tuple[float | None, str | None]:
        """The limit for gradients, and whether their norm or each value is clipped to it.

        Args:
            value: Limit of the trainer.
            algorithm: ``norm`` or ``value``, as set in the trainer.
        """
        return value, algorithm
