"""Schedule-free training: no learning rate schedule, and results from an average that the optimizer defines.

The optimizers are those of the ``schedulefree`` package. They train the weights y, while results use the average x;
here x is the module's second model, so that no weights are swapped for validation and checkpoints.

Source: Defazio et al. (2024), NeurIPS, arXiv:2405.15682.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import schedulefree
import torch

from equipot.errors import ConfigError, problem
from equipot.train import LightningModule, WeightAverage
from equipot.train.options import TrainingOptions


class AdamWScheduleFree(schedulefree.AdamWScheduleFree):
    """``schedulefree.AdamWScheduleFree``, with its options."""


class RAdamScheduleFree(schedulefree.RAdamScheduleFree):
    """``schedulefree.RAdamScheduleFree``, with its options."""


class SGDScheduleFree(schedulefree.SGDScheduleFree):
    """``schedulefree.SGDScheduleFree``, with its options."""


_OPTIMIZERS = (schedulefree.AdamWScheduleFree, schedulefree.RAdamScheduleFree, schedulefree.SGDScheduleFree)


@dataclass(frozen=True, kw_only=True)
class ScheduleFree(WeightAverage):
    """The average x that schedule-free optimizers define."""

    def prepare_optimizer(self, optimizer: torch.optim.Optimizer) -> None:
        """Set the optimizer to train y.

        Raises:
            ConfigError: If it is not one of the schedule-free optimizers.
        """
        if not isinstance(optimizer, _OPTIMIZERS):
            hint = "take equipot_toolbox.AdamWScheduleFree, RAdamScheduleFree or SGDScheduleFree"
            place, got = "training_module.optimizer", type(optimizer).__name__
            raise ConfigError(problem(place, "is not schedule-free", got=got, hint=hint))
        optimizer.train()

    def move_average(self, module: LightningModule) -> None:
        """Set the averaged parameters to x = y + (1 - 1/beta) (z - y)."""
        optimizer: Any = module.optimizers(use_pl_optimizer=False)
        betas: dict[torch.Tensor, float] = {
            parameter: group["momentum"] if "momentum" in group else group["betas"][0]
            for group in optimizer.param_groups
            for parameter in group["params"]
        }
        for average, current in zip(*module.parameter_pairs, strict=True):
            average.copy_(current)
            if "z" in optimizer.state.get(current, {}):
                average.lerp_(optimizer.state[current]["z"], 1.0 - 1.0 / betas[current])


@dataclass(frozen=True, kw_only=True)
class ScheduleFreeOptions(TrainingOptions, ScheduleFree):
    """Options of ``ScheduleFreeLightningModule``; there is none for a schedule of the learning rate."""


class ScheduleFreeLightningModule(LightningModule, options=ScheduleFreeOptions):
    """Trains with a schedule-free optimizer; validation, test and stored results use its average.

    The optimizer must be ``equipot_toolbox.AdamWScheduleFree``, ``RAdamScheduleFree`` or ``SGDScheduleFree``.
    """
