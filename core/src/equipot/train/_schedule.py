"""The learning rate schedule per epoch, stepped exactly once for each epoch of a run.

Lightning steps epoch schedulers after it has written the epoch's checkpoint, and not at all in an epoch that was
resumed half way, so a resumed run would differ. Here the step is taken before the checkpoint is written.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from torch.optim.lr_scheduler import ReduceLROnPlateau

from equipot.errors import ConfigError, problem, unknown

NEVER = 2**62
"""A frequency in steps that no run reaches: Lightning stores the scheduler but does not step it."""

_MONITOR = "training_module.lr_scheduler.monitor"


class EpochSchedule:
    """A scheduler of ``torch.optim.lr_scheduler`` that is stepped at the end of epochs.

    ``options`` are Lightning's ``monitor``, ``frequency`` and ``strict``.
    """

    def __init__(self, scheduler: Any, options: Mapping[str, Any]) -> None:
        self.scheduler = scheduler
        self.frequency = int(options.get("frequency", 1))
        self.strict = bool(options.get("strict", True))
        on_plateau = options.get("reduce_on_plateau", isinstance(scheduler, ReduceLROnPlateau))
        self.monitor: str | None = options.get("monitor") if on_plateau else None
        if on_plateau and self.monitor is None:
            raise ConfigError(problem(_MONITOR, "ReduceLROnPlateau needs a metric to monitor"))

    def step(self, epoch: int, metrics: Mapping[str, Any], validate: Callable[[], Mapping[str, Any]]) -> None:
        """Step at the end of an epoch (counted from 0), if it is due.

        If the monitored metric is missing, ``validate`` is called for it, as before the first validation of a run that
        does not validate in each epoch.
        """
        if (epoch + 1) % self.frequency:
            return
        if self.monitor is None:
            self.scheduler.step()
            return
        if self.monitor not in metrics:
            metrics = {**metrics, **validate()}
        if self.monitor in metrics:
            self.scheduler.step(metrics[self.monitor])
        elif self.strict:
            raise ConfigError(unknown(_MONITOR, self.monitor, metrics, "metric"))


def lightning_scheduler(made: Any, options: Mapping[str, Any]) -> tuple[dict[str, Any], EpochSchedule | None]:
    """Lightning's mapping for a scheduler, and the epoch schedule; the latter is None if it steps by batches."""
    if options.get("interval", "epoch") == "step":
        return {**options, "scheduler": made}, None
    schedule = EpochSchedule(made, options)
    return {**options, "scheduler": made, "interval": "step", "frequency": NEVER}, schedule
