"""Where a run is in its epochs: written with every checkpoint, and put back into Lightning's loops.

Lightning's own counters cannot be relied on: a run that is resumed at the end of an epoch leaves out its
validation and everything that is due at its end, and a second resume counts an epoch too few. So
they are not restored; the loops are set from what is written here, once they are ready to start.
"""

# ruff: noqa: SLF001 - Lightning offers no other way into its loops
from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypedDict

import lightning
import torch
from lightning.pytorch.loops.evaluation_loop import RestartStage as EvaluationStage
from lightning.pytorch.loops.fit_loop import RestartStage as FitStage
from lightning.pytorch.loops.training_epoch_loop import RestartStage as EpochStage

from equipot.data._loader import TrainLoader


def trained_batches(trainer: lightning.Trainer) -> int:
    """Number of batches, over all epochs."""
    return int(_loop(trainer).epoch_loop.batch_progress.total.processed)


class Position(TypedDict):
    """What ``position`` gives."""

    epoch: int
    batch: int
    whole: bool
    closed: bool
    validated: bool
    batches: int
    logged: int
    step: int
    stop: bool
    pending: bool
    unlogged: dict[str, float]


def loader_state(trainer: lightning.Trainer) -> dict[str, Any]:
    """Where the train loader is, without a batch that it has given out and that is not trained yet."""
    loader: Any = trainer.train_dataloader
    if not isinstance(loader, TrainLoader):
        return dict(loader.state_dict()) if hasattr(loader, "state_dict") else {}
    batches = _loop(trainer).epoch_loop.batch_progress.current
    return loader.state_dict(before_last=batches.ready > batches.processed)


def position(trainer: lightning.Trainer, validated: int) -> Position:
    """Where the run is.

    Args:
        trainer: Within ``fit``, or after it.
        validated: Number of batches, over all epochs, after which validation ended last.

    Returns:
        Plain numbers: ``epoch`` and ``batch`` of those that are done; ``whole`` if the epoch's last batch is done
        but not what is due at its end; ``closed`` if training ended within the epoch; ``validated`` if the
        validation due after the batch is done; ``batches`` and ``logged`` over all epochs; ``stop`` if a callback
        ended the training; ``pending`` if what is due after the batch is not done; ``unlogged``, what loggers get next.
    """
    fit = _loop(trainer)
    inner = fit.epoch_loop
    epochs, batches = fit.epoch_progress.current, inner.batch_progress
    epoch, batch = max(epochs.started - 1, 0), batches.current.processed
    whole = batches.is_last_batch or batch >= trainer.num_training_batches
    closed = epochs.processed == epochs.started
    if closed and (whole or not epochs.started):
        epoch, batch, whole = epochs.started, 0, False
    pending = not closed and batch > 0 and batches.current.ready == batch
    stepped = pending and not inner._should_accumulate()
    return {
        "epoch": epoch,
        "batch": batch,
        "whole": bool(whole),
        "closed": closed and batch > 0,
        "validated": validated == batches.total.processed,
        "batches": batches.total.processed,
        "logged": inner._batches_that_stepped + int(stepped),
        "step": trainer.global_step,
        "stop": bool(trainer.should_stop),
        "pending": pending,
        "unlogged": _unlogged(trainer),
    }


def _unlogged(trainer: lightning.Trainer) -> dict[str, float]:
    """What Lightning gives to the loggers right after the hook in which a checkpoint is written."""
    fit = _loop(trainer)
    epochs, batches = fit.epoch_progress.current, fit.epoch_loop.batch_progress.current
    connector = trainer._logger_connector
    after_epoch = epochs.processed == epochs.completed + 1
    after_batch = batches.processed == batches.completed + 1 and not fit._should_accumulate()
    if trainer._results is None or not (after_epoch or (after_batch and connector.should_update_logs)):
        return {}
    values = {key: float(value) for key, value in connector.metrics["log"].items()}
    step = fit.epoch_loop._batches_that_stepped - int(after_epoch)  # as Lightning counts for the epoch's own row
    return {"epoch": trainer.current_epoch, "step": step, **values} if values else {}


def log_epoch(trainer: lightning.Trainer, values: Mapping[str, torch.Tensor]) -> None:
    """Give values of an epoch to callbacks and loggers at once, in a row with the step that Lightning gives it.

    Args:
        trainer: At the end of an epoch of training, or of a validation within ``fit``.
        values: Name to number.
    """
    inner, after_epoch = _loop(trainer).epoch_loop, int(not trainer.validating)
    trainer.callback_metrics.update(values)
    inner._batches_that_stepped -= after_epoch
    trainer._logger_connector.log_metrics(dict(values))
    inner._batches_that_stepped += after_epoch


def _loop(trainer: lightning.Trainer) -> Any:
    """Lightning's loop, untyped: its counters are declared as a type that lacks most of them."""
    return trainer.fit_loop


class LoopPosition:
    """Sets Lightning's loops to where a run was.

    Args:
        saved: As ``position`` gives it.
        stop: Whether a run that a callback had ended stays ended.
    """

    def __init__(self, saved: Mapping[str, Any], *, stop: bool) -> None:
        self.saved = saved
        self.stop = stop and bool(saved["stop"])
        self._after_epoch: dict[str, Any] | None = None

    def restore(self, trainer: lightning.Trainer) -> None:
        """Set the counters, and what is still due, when ``on_train_start`` is called.

        Args:
            trainer: With a train loader.
        """
        saved, fit = self.saved, _loop(trainer)
        inner = fit.epoch_loop
        self._count(trainer)
        if saved["unlogged"]:
            trainer._logger_connector.log_metrics(dict(saved["unlogged"]))
        if saved["batch"] == 0:
            trainer.should_stop = self.stop
            return
        due = fit._data_fetcher is not None and inner._should_check_val_fx(fit._data_fetcher)
        if saved["pending"] and not due:  # else the turn that validates does it
            inner.update_lr_schedulers("step", update_plateau_schedulers=True)
        trainer.should_stop = self.stop
        ended = fit.done
        if ended and saved["closed"]:
            for counter in (fit.epoch_progress.total, fit.epoch_progress.current):
                counter.processed = counter.completed = saved["epoch"] + 1
            return
        self._go_on(trainer, due=due, ended=ended)

    def _count(self, trainer: lightning.Trainer) -> None:
        saved, fit = self.saved, _loop(trainer)
        inner, epoch, batch = fit.epoch_loop, saved["epoch"], saved["batch"]
        for counter in (fit.epoch_progress.total, fit.epoch_progress.current):
            counter.ready = counter.started = epoch + int(batch > 0)
            counter.processed = counter.completed = epoch
        for counter, value in ((inner.batch_progress.total, saved["batches"]), (inner.batch_progress.current, batch)):
            counter.ready = counter.started = counter.processed = counter.completed = value
        inner.batch_progress.is_last_batch = saved["whole"]
        steps = inner.automatic_optimization.optim_progress.optimizer.step
        steps.total.ready = steps.total.completed = saved["step"]
        inner._batches_that_stepped = saved["logged"]

    def _go_on(self, trainer: lightning.Trainer, *, due: bool, ended: bool) -> None:
        """Enter the epoch in its middle.

        Where validation is due after the batch, Lightning takes a turn without a batch, which validates or, when
        that is done, does not. Where the epoch is at its end without one, its loop must find that at once.
        """
        saved, fit = self.saved, _loop(trainer)
        inner = fit.epoch_loop
        fit._restart_stage = FitStage.RESTARTED_MID_EPOCH
        inner._restarting = True
        inner._restart_stage = EpochStage.RESTARTED_ON_LAST
        inner._batches_that_stepped -= int(due)  # which that turn adds
        if due and not saved["validated"]:
            inner.val_loop._restart_stage = EvaluationStage.RESTARTED_MID_EVALUATION
        if ended or (saved["whole"] and not due):
            self._after_epoch = {
                "stop": trainer.should_stop,
                "steps": inner.max_steps,
                "whole": inner.batch_progress.is_last_batch,
            }
            trainer.should_stop, inner.max_steps = False, -1
            inner.batch_progress.is_last_batch = True
            inner.val_loop._has_run = not due

    def close_epoch(self, trainer: lightning.Trainer) -> None:
        """Put back what was set aside to come to the end of an epoch, when ``on_train_epoch_end`` is called."""
        inner, before = _loop(trainer).epoch_loop, self._after_epoch
        if before is not None:
            self._after_epoch = None
            inner._restarting = inner.val_loop._has_run = False
            trainer.should_stop, inner.max_steps = before["stop"], before["steps"]
            inner.batch_progress.is_last_batch = before["whole"]
