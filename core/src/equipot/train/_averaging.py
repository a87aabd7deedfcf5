"""Training modules with a second, averaged copy of the model, which results are of."""

from __future__ import annotations

import abc
import copy
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Annotated, Any

import torch
from pydantic import Field

from equipot.errors import ConfigError, problem
from equipot.model._graph_model import GraphModel
from equipot.model._recipe import ModelRecipe
from equipot.train._base import Loss, Metrics
from equipot.train._module import LightningModule


class AveragingLightningModule(LightningModule, abc.ABC):
    """Trains a model and keeps an average of its weights beside it, in ``ema``.

    Validation, test and stored results use the average; weights are never swapped. Derived classes
    say how the average moves, and take ``model`` and the other parts as ``LightningModule`` does.
    """

    weights = "ema"

    def __init__(self, model: ModelRecipe | GraphModel, **parts: Any) -> None:
        """Take the parts.

        Args:
            model: A recipe, built here, or a built model.
            **parts: As ``LightningModule``.
        """
        super().__init__(model, **parts)
        self.ema = copy.deepcopy(self.model)
        self.ema.requires_grad_(False)

    @property
    def evaluation_model(self) -> GraphModel:
        """The averaged model."""
        return self.ema

    @cached_property
    def parameters_of_both(self) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
        """Averaged and current parameters, in the same order; collected once, which takes longer than averaging."""
        return list(self.ema.parameters()), list(self.model.parameters())

    @cached_property
    def _buffers_of_both(self) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
        return list(self.ema.buffers()), list(self.model.buffers())

    def on_fit_start(self) -> None:
        """Collect the tensors anew: the models may have been changed before."""
        super().on_fit_start()
        for name in ("parameters_of_both", "_buffers_of_both"):
            self.__dict__.pop(name, None)

    def optimizer_step(self, *args: Any, **kwargs: Any) -> None:
        """Step, then move the average."""
        super().optimizer_step(*args, **kwargs)
        self.update_average()

    @torch.no_grad()
    def update_average(self) -> None:
        """Move the averaged parameters; copy the buffers."""
        self.average_parameters()
        torch._foreach_copy_(*self._buffers_of_both)

    @abc.abstractmethod
    def average_parameters(self) -> None:
        """Move the parameters of ``ema`` after an optimizer step; called without gradients."""


class EMALightningModule(AveragingLightningModule):
    """Trains a model and keeps the exponential moving average of its weights beside it.

    After the n-th optimizer step (n from 0) the average moves towards the weights by 1 - d with
    d = min(ema_decay, (1 + n) / (10 + n)); buffers are copied. Validation, test and stored results
    use the average; weights are never swapped.
    """

    def __init__(
        self,
        model: ModelRecipe | GraphModel,
        loss: Loss | None = None,
        train_metrics: Metrics | None = None,
        val_metrics: Metrics | None = None,
        test_metrics: Metrics | None = None,
        optimizer: Callable[..., Any] | None = None,
        lr_scheduler: Callable[..., Any] | Mapping[str, Any] | None = None,
        ema_decay: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.999,
    ) -> None:
        """Take the parts.

        Args:
            model: A recipe, built here, or a built model.
            loss: What training minimises.
            train_metrics: Errors on the training set, accumulated while training.
            val_metrics: Errors on the validation sets.
            test_metrics: Errors on the test sets; default: as ``val_metrics``.
            optimizer: Any optimizer of ``torch.optim``; gets ``params``, pairs of name and parameter.
            lr_scheduler: A scheduler of ``torch.optim.lr_scheduler`` (gets ``optimizer``), or
                Lightning's mapping ``scheduler``, ``monitor``, ``interval``, ``frequency``.
            ema_decay: Largest decay d of the average, at least 0 and below 1.

        Raises:
            ConfigError: If the decay is out of range.
        """
        if not 0.0 <= ema_decay < 1.0:
            place = f"{type(self).__name__}.ema_decay"
            raise ConfigError(problem(place, "must be at least 0 and below 1", got=ema_decay))
        super().__init__(
            model,
            loss=loss,
            train_metrics=train_metrics,
            val_metrics=val_metrics,
            test_metrics=test_metrics,
            optimizer=optimizer,
            lr_scheduler=lr_scheduler,
        )
        self.ema_decay = ema_decay
        self.ema_updates: torch.Tensor
        self.register_buffer("ema_updates", torch.zeros((), dtype=torch.int64))

    def average_parameters(self) -> None:
        """Move the averaged parameters towards the current ones."""
        done = int(self.ema_updates)
        decay = min(self.ema_decay, (1 + done) / (10 + done))
        averaged, current = self.parameters_of_both
        torch._foreach_lerp_(averaged, current, 1.0 - decay)
        self.ema_updates += 1
