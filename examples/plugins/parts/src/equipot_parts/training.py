"""What is minimised, and what happens while training."""

from __future__ import annotations

import time
from typing import Any

import lightning
import torch
from torchmetrics import MeanMetric

from equipot.graph import Graph
from equipot.train import Loss


class LogCoshForceLoss(Loss):
    """Mean of log cosh of the force errors: squared for small errors, absolute for large ones.

    Args:
        scale: Force error in the data's unit where one goes over into the other.
    """

    labels = ("forces",)
    names = ("forces_log_cosh", "weighted_sum")

    def __init__(self, scale: float = 1.0) -> None:
        super().__init__({"forces_log_cosh": 1.0})
        self.scale = scale
        self.mean = MeanMetric()

    def forward(self, outputs: Graph, batch: Graph) -> dict[str, torch.Tensor]:
        """The loss of a batch."""
        errors = (outputs["forces"] - batch["forces"]) / self.scale
        if "forces_mask" in batch:
            errors = errors[batch["forces_mask"]]
        magnitude = errors.abs()  # log cosh x = |x| + log(1 + exp(-2|x|)) - log 2, which does not overflow
        values = magnitude + torch.nn.functional.softplus(-2.0 * magnitude) - torch.log(magnitude.new_tensor(2.0))
        self.mean.update(values.detach())
        loss = values.sum() / max(values.numel(), 1)
        return {"forces_log_cosh": loss, "weighted_sum": loss}

    def epoch_values(self) -> dict[str, torch.Tensor]:
        """The loss over the epoch."""
        value = self.mean.compute()
        return {"forces_log_cosh": value, "weighted_sum": value}

    def reset(self) -> None:
        """Start a new epoch."""
        self.mean.reset()


class FramesPerSecond(lightning.Callback):
    """Logs how many frames a second each epoch trained on, as ``frames_per_second``."""

    def on_train_epoch_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Start the clock."""
        self._start, self._frames = time.perf_counter(), 0

    def on_train_batch_end(
        self,
        trainer: lightning.Trainer,
        pl_module: lightning.LightningModule,
        outputs: Any,
        batch: Graph,
        batch_idx: int,
    ) -> None:
        """Count the batch's frames."""
        self._frames += batch["num_atoms"].shape[0]

    def on_train_epoch_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Log."""
        pl_module.log("frames_per_second", self._frames / (time.perf_counter() - self._start))
