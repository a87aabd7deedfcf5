"""Callbacks that set TF32 by epoch, and that log norms of weights, gradients and optimizer states."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any

import lightning
import torch
from pydantic import Field

from equipot.errors import ConfigError, problem
from equipot_toolbox._coefficients import by_epoch


class TF32Scheduler(lightning.Callback):
    """Allows or forbids TF32 in matrix products of CUDA devices, from given epochs on.

    It sets ``torch.backends.cuda.matmul.allow_tf32`` and restores the previous value when training ends. The setting
    has no effect on other devices and on models in float64.

    Args:
        schedule: Whether TF32 is allowed, for each epoch (from 0) at which this changes; epoch 0 is required.

    Raises:
        ConfigError: If a key is not an epoch or epoch 0 is missing.
    """

    def __init__(self, schedule: dict[int | str, bool]) -> None:
        self.schedule: dict[int, bool] = by_epoch(schedule, "TF32Scheduler.schedule")
        if 0 not in self.schedule:
            raise ConfigError(problem("TF32Scheduler.schedule", "must have epoch 0", got=schedule))
        self._before: bool | None = None

    def on_train_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Remember the present setting, and set that of the epoch."""
        self._before = torch.backends.cuda.matmul.allow_tf32
        self._set(trainer.current_epoch)

    def on_train_batch_start(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Set what the schedule has for the epoch."""
        self._set(trainer.current_epoch)

    def _set(self, epoch: int) -> None:
        allowed = [value for start, value in self.schedule.items() if start <= epoch][-1]
        torch.backends.cuda.matmul.allow_tf32 = allowed

    def on_train_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Restore the previous setting."""
        if self._before is not None:
            torch.backends.cuda.matmul.allow_tf32 = self._before
            self._before = None

    def on_exception(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, exception: BaseException
    ) -> None:
        """Restore the previous setting."""
        self.on_train_end(trainer, pl_module)


class TrainingStatsMonitor(lightning.Callback):
    """Logs the 2-norms of each parameter, its gradient and its optimizer states.

    Names: ``weight_norm/<parameter>``, ``gradient_norm/<parameter>`` (before clipping) and
    ``<state>_norm/<parameter>``, e.g. ``exp_avg_norm/…`` of Adam.

    Args:
        log_freq: Number of optimizer steps between two logged values.
        log_weights: Log norms of parameters.
        log_gradients: Log norms of gradients.
        log_optimizer_states: Log norms of the tensors in the optimizer's state.
    """

    def __init__(
        self,
        log_freq: Annotated[int, Field(ge=1)] = 100,
        *,
        log_weights: bool = True,
        log_gradients: bool = True,
        log_optimizer_states: bool = True,
    ) -> None:
        self.log_freq = log_freq
        self.log_weights = log_weights
        self.log_gradients = log_gradients
        self.log_optimizer_states = log_optimizer_states

    def on_before_optimizer_step(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, optimizer: torch.optim.Optimizer
    ) -> None:
        """Log the norms in every ``log_freq``-th step."""
        if trainer.global_step % self.log_freq == 0:
            norms = dict(self._norms(pl_module, optimizer))
            pl_module.log_dict(norms, on_step=True, on_epoch=False, batch_size=1)

    def _norms(self, module: Any, optimizer: torch.optim.Optimizer) -> Iterator[tuple[str, torch.Tensor]]:
        for name, parameter in module.model.named_parameters():
            if not parameter.requires_grad:
                continue
            if self.log_weights:
                yield f"weight_norm/{name}", _norm(parameter)
            if self.log_gradients and parameter.grad is not None:
                yield f"gradient_norm/{name}", _norm(parameter.grad)
            if self.log_optimizer_states:
                for key, value in optimizer.state.get(parameter, {}).items():
                    if isinstance(value, torch.Tensor) and value.shape == parameter.shape:
                        yield f"{key}_norm/{name}", _norm(value)


def _norm(value: torch.Tensor) -> torch.Tensor:
    return torch.linalg.vector_norm(value.detach())
