"""The learning rate schedule per epoch, stepped exactly once for each epoch of a run.

Lightning steps epoch schedulers after it has written the epoch's checkpoint, and not at all in an
epoch that was resumed half way; so a resumed run would differ. Here the step is taken before the checkpoint.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from torch.optim.lr_scheduler import ReduceLROnPlateau

from equipot.errors import ConfigError, problem, unknown

NEVER = 2**62
"""A frequency in steps that no run reaches: Lightning stores the scheduler but leaves it alone."""

Logged = Mapping[str, Any]
"""Names and values that training logged."""

_MONITOR = "training_module.lr_scheduler.monitor"


class EpochSchedule:
    """A scheduler that is stepped at the end of epochs.

    Args:
        scheduler: Of ``torch.optim.lr_scheduler``.
        options: Lightning's ``monitor``, ``frequency`` and ``strict``.
    """

    def __init__(self, scheduler: Any, options: Mapping[str, Any]) -> None:
        self.scheduler = scheduler
        self.monitor: str | None = options.get("monitor")
        self.frequency = int(options.get("frequency", 1))
        self.strict = bool(options.get("strict", True))
        self.on_plateau = bool(options.get("reduce_on_plateau", isinstance(scheduler, ReduceLROnPlateau)))
        if self.on_plateau and self.monitor is None:
            raise ConfigError(problem(_MONITOR, "ReduceLROnPlateau needs a metric to monitor"))

    def step(self, epoch: int, metrics: Logged, validate: Callable[[], Logged]) -> None:
        """Step at the end of an epoch, if it is its turn.

        Args:
            epoch: Number of the epoch, from 0.
            metrics: Logged so far.
            validate: Called for metrics where the monitored one is missing: before the first validation of a run
                that does not validate in each epoch.

        Raises:
            ConfigError: If the monitored metric was not logged.
        """
        if (epoch + 1) % self.frequency:
            return
        if not self.on_plateau or self.monitor is None:
            self.scheduler.step()
            return
        if self.monitor not in metrics:
            metrics = {**metrics, **validate()}
        if self.monitor in metrics:
            self.scheduler.step(metrics[self.monitor])
        elif self.strict:
            raise ConfigError(unknown(_MONITOR, self.monitor, metrics, "metric"))


def lightning_scheduler(made: Any, options: Mapping[str, Any]) -> tuple[dict[str, Any], EpochSchedule | None]:
    """What to give Lightning, and the schedule that it leaves to us.

    Args:
        made: The scheduler.
        options: The config's, without ``scheduler``.

    Returns:
        Lightning's mapping; and the epoch schedule, None if the scheduler steps by batches.
    """
    if options.get("interval", "epoch") == "step":
        return {**options, "scheduler": made}, None
    schedule = EpochSchedule(made, options)
    return {**options, "scheduler": made, "interval": "step", "frequency": NEVER}, schedule
