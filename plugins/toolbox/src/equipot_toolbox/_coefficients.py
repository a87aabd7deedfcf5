"""Callbacks that change the coefficients of the loss during training, and one that logs them.

The loss stores its coefficients in checkpoints, and a resumed run continues with them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

import lightning
from pydantic import Field

from equipot.errors import ConfigError, problem
from equipot.train import Loss


class LossCallback(lightning.Callback):
    """A callback that needs a loss with coefficients; ``equipot check`` calls ``check_loss`` too."""

    def check_loss(self, loss: Any) -> None:
        """Refuse a training module whose loss is missing or has no coefficients.

        Args:
            loss: Loss of the training module.

        Raises:
            ConfigError: If it is not an ``equipot.train.Loss``.
        """
        if not isinstance(loss, Loss):
            raise ConfigError(problem(type(self).__name__, "needs a loss with coefficients", got=type(loss).__name__))

    def on_fit_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Check the loss."""
        self.check_loss(getattr(pl_module, "loss", None))


def loss_of(module: lightning.LightningModule) -> Loss:
    """The loss of a training module, which was checked when training started."""
    loss: Loss = module.loss  # type: ignore[assignment]
    return loss


class LossCoefficientScheduler(LossCallback):
    """Sets the coefficients of the loss at the start of given epochs.

    Args:
        schedule: Weight of every term of the loss for each epoch (from 0), normalised to sum 1.

    Raises:
        ConfigError: If a key is not an epoch.
    """

    def __init__(self, schedule: dict[int | str, dict[str, float]]) -> None:
        self.schedule = by_epoch(schedule, "LossCoefficientScheduler.schedule")
        self._epoch: int | None = None

    def state_dict(self) -> dict[str, Any]:
        """The epoch whose coefficients were set last."""
        return {"epoch": self._epoch}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue from a stored state."""
        self._epoch = state_dict["epoch"]

    def check_loss(self, loss: Any) -> None:
        """Check that the weights are valid for exactly the terms of the loss.

        Args:
            loss: Loss of the training module.

        Raises:
            ConfigError: If they are not.
        """
        super().check_loss(loss)
        for epoch, coefficients in self.schedule.items():
            loss.checked_coefficients(coefficients, f"LossCoefficientScheduler.schedule.{epoch}")

    def on_train_batch_start(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Set the coefficients of an epoch at its first batch.

        ``on_train_epoch_start`` is not called for the epoch that follows a run stopped after the last batch.
        """
        epoch, before = trainer.current_epoch, self._epoch
        self._epoch = epoch
        if epoch != before and epoch in self.schedule:
            loss_of(pl_module).set_coefficients(self.schedule[epoch])


def by_epoch(schedule: Mapping[int | str, Any], where: str) -> dict[int, Any]:
    """A schedule with integer keys in ascending order; keys of a YAML mapping may be text.

    Raises:
        ConfigError: If a key is not an epoch, or the schedule is empty.
    """
    wrong = [key for key in schedule if not str(key).isdecimal()]
    if wrong or not schedule:
        raise ConfigError(problem(where, "keys must be epochs, from 0", got=wrong or dict(schedule)))
    return dict(sorted(((int(key), value) for key, value in schedule.items()), key=lambda item: item[0]))


class LinearLossCoefficientScheduler(LossCallback):
    """Changes the coefficients of the loss linearly from their present to their final values.

    In epoch ``start_epoch + n`` the fraction ``n / transition_epochs`` of the change is made. Several of these
    callbacks may follow each other.

    Args:
        final_coeffs: Final weight of every term of the loss, normalised to sum 1.
        transition_epochs: Duration of the change in epochs.
        start_epoch: Epoch (from 0) in which the coefficients still have their initial values.
    """

    def __init__(
        self,
        final_coeffs: dict[str, float],
        transition_epochs: Annotated[int, Field(ge=1)],
        start_epoch: Annotated[int, Field(ge=0)] = 0,
    ) -> None:
        self.final_coeffs = dict(final_coeffs)
        self.transition_epochs = transition_epochs
        self.start_epoch = start_epoch
        self._start: dict[str, float] | None = None
        self._epoch: int | None = None

    @property
    def state_key(self) -> str:
        """A different key for each of several such callbacks."""
        return self._generate_state_key(start_epoch=self.start_epoch, transition_epochs=self.transition_epochs)

    def state_dict(self) -> dict[str, Any]:
        """The initial coefficients, and the epoch whose coefficients were set last."""
        return {"start": self._start, "epoch": self._epoch}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue from a stored state."""
        self._start, self._epoch = state_dict["start"], state_dict["epoch"]

    def check_loss(self, loss: Any) -> None:
        """Check that the weights are valid for exactly the terms of the loss.

        Args:
            loss: Loss of the training module.

        Raises:
            ConfigError: If they are not.
        """
        super().check_loss(loss)
        where = "LinearLossCoefficientScheduler.final_coeffs"
        self._final = loss.checked_coefficients(self.final_coeffs, where)

    def on_train_batch_start(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Set the coefficients of an epoch at its first batch."""
        if self._epoch == trainer.current_epoch:
            return
        self._epoch = trainer.current_epoch
        done = trainer.current_epoch - self.start_epoch
        if not 0 <= done <= self.transition_epochs:
            return
        loss = loss_of(pl_module)
        if self._start is None:
            self._start = loss.coefficients
        part = done / self.transition_epochs
        between = {name: (1.0 - part) * start + part * self._final[name] for name, start in self._start.items()}
        loss.set_coefficients(between)


class LossCoefficientMonitor(LossCallback):
    """Logs the coefficients of the loss as ``loss_coefficient/<term>``.

    Args:
        interval: Log per ``batch`` or per ``epoch``.
        frequency: Number of batches or epochs between two values.
    """

    def __init__(
        self, interval: Literal["batch", "epoch"] = "epoch", frequency: Annotated[int, Field(ge=1)] = 1
    ) -> None:
        self.interval = interval
        self.frequency = frequency

    def on_train_batch_end(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Log the coefficients that were used for the batch."""
        by_batch = self.interval == "batch"
        number = batch_idx if by_batch else trainer.current_epoch
        if number % self.frequency == 0 and (by_batch or batch_idx == 0):
            pl_module.log_dict(self._named(pl_module), on_step=by_batch, on_epoch=not by_batch, batch_size=1)

    def _named(self, module: lightning.LightningModule) -> dict[str, Any]:
        coefficients = loss_of(module).coefficients
        return {f"loss_coefficient/{name}": value for name, value in coefficients.items()}
