"""Schedule-free training: no learning rate schedule, results from an average kept by the optimizer.

The optimizers are those of the ``schedulefree`` package. They train y, while results are of the average
x; here x lives in the module's second model, so that nothing is swapped for validation and checkpoints.

Source: Defazio et al. (2024), NeurIPS, arXiv:2405.15682.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import schedulefree
import torch

from equipot.errors import ConfigError, problem
from equipot.model import GraphModel, ModelRecipe
from equipot.train import AveragingLightningModule, Loss, Metrics


class AdamWScheduleFree(schedulefree.AdamWScheduleFree):
    """``schedulefree.AdamWScheduleFree``, with its options."""


class RAdamScheduleFree(schedulefree.RAdamScheduleFree):
    """``schedulefree.RAdamScheduleFree``, with its options."""


class SGDScheduleFree(schedulefree.SGDScheduleFree):
    """``schedulefree.SGDScheduleFree``, with its options."""


_OPTIMIZERS = (schedulefree.AdamWScheduleFree, schedulefree.RAdamScheduleFree, schedulefree.SGDScheduleFree)


class ScheduleFreeLightningModule(AveragingLightningModule):
    """Trains with a schedule-free optimizer; validation, test and stored results use its average.

    Args:
        model: A recipe, built here, or a built model.
        loss: What training minimises.
        train_metrics: Errors on the training set, accumulated while training.
        val_metrics: Errors on the validation sets.
        test_metrics: Errors on the test sets; default: as ``val_metrics``.
        optimizer: ``equipot_toolbox.AdamWScheduleFree``, ``RAdamScheduleFree`` or ``SGDScheduleFree``.
    """

    def __init__(
        self,
        model: ModelRecipe | GraphModel,
        loss: Loss | None = None,
        train_metrics: Metrics | None = None,
        val_metrics: Metrics | None = None,
        test_metrics: Metrics | None = None,
        optimizer: Callable[..., Any] | None = None,
    ) -> None:
        super().__init__(
            model,
            loss=loss,
            train_metrics=train_metrics,
            val_metrics=val_metrics,
            test_metrics=test_metrics,
            optimizer=optimizer,
        )

    def configure_optimizers(self) -> Any:
        """The optimizer, ready to train.

        Raises:
            ConfigError: If it is none of the schedule-free ones.
        """
        made = super().configure_optimizers()
        if not isinstance(made, _OPTIMIZERS):
            hint = "take equipot_toolbox.AdamWScheduleFree, RAdamScheduleFree or SGDScheduleFree"
            raise ConfigError(
                problem("training_module.optimizer", "is not schedule-free", got=type(made).__name__, hint=hint)
            )
        made.train()
        return made

    def average_parameters(self) -> None:
        """Set the averaged parameters to x = y + (1 - 1/beta) (z - y)."""
        optimizer: Any = self.optimizers(use_pl_optimizer=False)
        betas: dict[torch.Tensor, float] = {
            parameter: group["momentum"] if "momentum" in group else group["betas"][0]
            for group in optimizer.param_groups
            for parameter in group["params"]
        }
        for average, current in zip(self.ema.parameters(), self.model.parameters(), strict=True):
            average.copy_(current)
            if "z" in optimizer.state.get(current, {}):
                average.lerp_(optimizer.state[current]["z"], 1.0 - 1.0 / betas[current])
