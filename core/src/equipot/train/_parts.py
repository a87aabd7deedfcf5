"""Parts of a training module: how weights are averaged, and how the gradients of a loss's terms are combined.

A part is an object of options without a state of its own. What it remembers are buffers of the training module, so
that checkpoints hold it. The methods of the two kinds have different names, so that the options of a module can be both
parts at once.
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
    """How the weights of a second model, ``ema`` of the training module, follow those that are trained.

    Validation, test and stored results use that model; weights are never swapped.
    """

    def start_average(self, module: LightningModule) -> None:
        """Register what the average remembers, as buffers of the module; called once, when the module is made.

        Args:
            module: With ``model`` and its copy ``ema``.
        """

    def prepare_optimizer(self, optimizer: torch.optim.Optimizer) -> None:
        """Look at the optimizer that training made.

        Raises:
            ConfigError: If the average does not go with it.
        """

    @abc.abstractmethod
    def move_average(self, module: LightningModule) -> None:
        """Move the parameters of ``ema``; called after each optimizer step, without gradients.

        The module copies the buffers afterwards.

        Args:
            module: Its ``parameter_pairs`` are the averaged and the current parameters.
        """


@dataclass(frozen=True, kw_only=True)
class ExponentialMovingAverage(WeightAverage):
    """Exponential moving average.

    After the n-th optimizer step (n from 0) the average moves towards the weights by 1 - d with
    d = min(ema_decay, (1 + n) / (10 + n)).
    """

    ema_decay: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.999
    """Largest decay d of the average, at least 0 and below 1."""

    def start_average(self, module: LightningModule) -> None:
        """Count the steps."""
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
        """Look at the trainer when training starts.

        Raises:
            ConfigError: If the combination cannot be had with it.
        """

    @abc.abstractmethod
    def combine_gradients(self, module: LightningModule, terms: Mapping[str, torch.Tensor]) -> None:
        """Add to the gradients of the model's parameters, in place of the gradients of the weighted sum.

        Args:
            module: Whose model is trained; gradients are divided by ``trainer.accumulate_grad_batches``.
            terms: What the loss gave for the batch, by name.
        """

    def clipping(self, value: float | None, algorithm: str | None) -> tuple[float | None, str | None]:
        """What the gradients are clipped to.

        Args:
            value: Limit that the trainer has.
            algorithm: ``norm`` or ``value``, that the trainer has.
        """
        return value, algorithm
