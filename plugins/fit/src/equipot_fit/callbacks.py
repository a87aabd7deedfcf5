"""Callbacks that end a training: after a number of steps, or when its time is up."""

from __future__ import annotations

import contextlib
import contextvars
import math
import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import lightning
from lightning.pytorch.trainer.states import TrainerFn
from pydantic import Field

from equipot.data import DataModule
from equipot.errors import ConfigError, problem
from equipot.files import write_json
from equipot.train import Loss
from equipot_fit._schedule import WarmupDecay, factor_at
from equipot_fit._speed import EVALUATION_COST, Slowness

BUDGET = "budget.json"
"""File in the folder of a run that says how its time was spent."""

OBJECTIVE = "val0_epoch/weighted_sum"
"""What training keeps the best checkpoint by."""

FEWEST_STEPS = 20
"""A training takes so many steps even if there is no time for them: a model is better than none."""

WINDOW = 0.1
"""The speed is that of this last part of the time, and towards the end of a shorter one, so that a machine that slows
down is noticed."""

TOLERANCE, PAUSE = 0.015, 0.03
"""An end that is expected this part of the time too early or too late is moved, but not within a part of it after the
last such move; less is noise."""

LEAST_DECAY, LOW = 0.03, 0.1
"""The learning rate declines for at least this part of the time, even beyond its end, unless it is below this part of
its full value by then: a run that is resumed late has no other time for it."""

FEWEST_VALIDATIONS = 10
"""So many validations without progress are needed before the learning rate declines early."""

MOST_RESERVED = 0.3
"""Part of the time that is kept at most for evaluating frames after the training."""

_BEGUN: contextvars.ContextVar[float | None] = contextvars.ContextVar("when the time began", default=None)


@contextlib.contextmanager
def counted_from(moment: float) -> Iterator[None]:
    """Let the budgets of trainings in the block count from a moment.

    Args:
        moment: Of ``time.monotonic``; else they count from the start of training.
    """
    before = _BEGUN.set(moment)
    try:
        yield
    finally:
        _BEGUN.reset(before)


class StepBudget(lightning.Callback):
    """Ends a training after a number of optimizer steps, with a validation of what came out.

    ``trainer.max_steps`` ends it as well, but without a validation, so that the last weights would not be compared.

    Args:
        steps: Number of steps.
        final_coeffs: Weights of the terms of the loss from the first step of the learning rate's decay on, e.g.
            ``{per_atom_energy_mse: 10.0, forces_mse: 1.0}``, normalised to sum 1. Default: they stay as they are.
    """

    ends_training = True
    """A short config needs no number of epochs."""

    def __init__(self, steps: Annotated[int, Field(ge=1)], final_coeffs: dict[str, float] | None = None) -> None:
        self.steps: int | None = steps
        self.final_coeffs = final_coeffs
        self._final = False

    def check_loss(self, loss: Any) -> None:
        """Check the weights; ``equipot check`` calls it, too.

        Args:
            loss: Loss of the training module.

        Raises:
            ConfigError: If the loss has no coefficients, or other terms.
        """
        if self.final_coeffs is None:
            return
        where = f"{type(self).__name__}.final_coeffs"
        if not isinstance(loss, Loss):
            raise ConfigError(problem(where, "needs a loss with coefficients", got=type(loss).__name__))
        loss.checked_coefficients(self.final_coeffs, where)

    def state_dict(self) -> dict[str, Any]:
        """Whether the final weights of the loss are set."""
        return {"final": self._final}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from a stored state."""
        self._final = bool(state_dict["final"])

    def on_fit_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Check the loss."""
        del trainer
        self.check_loss(getattr(pl_module, "loss", None))

    def on_train_batch_start(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Set the final weights of the loss at the first step of the decay."""
        del batch, batch_idx
        if self.final_coeffs is None or self._final:
            return
        schedule = _schedule(trainer)
        if schedule is not None and schedule.decays and trainer.global_step >= schedule.decays[0][0]:
            self._final = True
            pl_module.loss.set_coefficients(self.final_coeffs)  # type: ignore[union-attr, operator]

    def on_train_batch_end(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """End the training after its last step."""
        del pl_module, outputs, batch, batch_idx
        if self.steps is not None and trainer.global_step >= self.steps:
            trainer.should_stop = True


class TimeBudget(StepBudget):
    """Ends a training when its time is up, with a learning rate that has come down to zero.

    The learning rate is constant until the rest of the time is what the decay gets. From then on the number of steps
    is fixed, by the time that a step has taken lately; it changes only if the speed of the machine does. In
    ``budget.json`` the run says how many steps it took and when the decay began: with these in ``WarmupDecay`` and
    ``StepBudget`` it is repeated bit by bit.

    If validation has not improved for a long time, the decay begins at once and gets all the time that is left.

    Args:
        minutes: Time for the training with everything before it and after it. In ``equipot fit`` it is counted from
            the start of the command, else from the start of training.
        reserve: Seconds of it that are kept for what comes after the training, of a processor that does nothing else:
            on a busy machine as many more as steps take there.
        reserve_frames: Number of frames that are evaluated after the training; their time is kept, too, by that of
            the validations so far.
        decay: Part of the training's time in which the learning rate declines.
        patience: Part of the training's time so far without progress after which the decay begins; 1 for never.
        final_coeffs: As for ``StepBudget``.
    """

    def __init__(
        self,
        minutes: Annotated[float, Field(gt=0)],
        reserve: Annotated[float, Field(ge=0)] = 0.0,
        reserve_frames: Annotated[int, Field(ge=0)] = 0,
        decay: Annotated[float, Field(gt=0, lt=1)] = 0.4,
        patience: Annotated[float, Field(gt=0, le=1)] = 0.5,
        final_coeffs: dict[str, float] | None = None,
    ) -> None:
        super().__init__(1, final_coeffs)
        self.steps = None
        self.total, self.reserve, self.reserve_frames = 60.0 * minutes, reserve, reserve_frames
        self.decay, self.patience = decay, patience
        self.clock, self.speed = time.monotonic, Slowness()
        self._sizes = (0, 0.0)
        self._before = 0.0
        self._beyond = 0.0
        self._warm = False
        self._first = 0.0
        self._since = 0.0
        self._moved = 0.0
        self._why = "time"
        self._best: tuple[float, float] = (math.inf, 0.0)
        self._unimproved = 0
        self._validating = 0.0
        self._validations = (0, 0.0)
        self._marks: deque[tuple[int, float]] = deque()

    # -------------------------------------------------------------------------------- state

    @property
    def used(self) -> float:
        """Seconds used so far, those before an interruption included."""
        return self._before + self.clock() - self._since

    @property
    def seconds(self) -> float:
        """Seconds for the training with everything before it: the rest is kept for what comes after."""
        evaluations = min(self.reserve_frames * self.frame_seconds, MOST_RESERVED * self.total)
        return max(self.total - self.reserve * self.speed.factor - evaluations, 0.0)

    @property
    def frame_seconds(self) -> float:
        """Seconds that evaluating a frame takes, by validations, before the first one by steps; 0 if unknown."""
        (count, taken), (val, per_step) = self._validations, self._sizes
        if count and val:
            return taken / (count * val)
        if len(self._marks) < 2 or not per_step:
            return 0.0
        return EVALUATION_COST * self._seconds_per_step(self._marks[-1][0]) / per_step

    def state_dict(self) -> dict[str, Any]:
        """What was used and decided."""
        state = {"steps": self.steps, "used": self.used, "first": self._first, "why": self._why}
        rest = {"best": list(self._best), "unimproved": self._unimproved, "beyond": self._beyond}
        return {**super().state_dict(), **state, **rest}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from a stored state: time between an interruption and the next start does not count."""
        super().load_state_dict(state_dict)
        self.steps, self._before, self._why = state_dict["steps"], float(state_dict["used"]), state_dict["why"]
        self._beyond = float(state_dict.get("beyond", 0.0))
        self._first, self._unimproved = float(state_dict["first"]), int(state_dict["unimproved"])
        value, at = state_dict["best"]
        self._best = (float(value), float(at))

    # -------------------------------------------------------------------------------- hooks

    def setup(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, stage: str) -> None:
        """Start the clock; a state that is loaded after this adds what was used before."""
        del trainer, pl_module
        if stage == TrainerFn.FITTING:
            begun = _BEGUN.get()
            self._since = self.clock() if begun is None else begun

    def on_train_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Begin to measure.

        Raises:
            ConfigError: If the learning rate does not follow ``WarmupDecay`` by steps.
        """
        del pl_module
        if _schedule(trainer) is None:
            hint = "lr_scheduler: {scheduler: {_target_: equipot_fit.WarmupDecay}, interval: step}"
            where = "training_module.lr_scheduler"
            raise ConfigError(problem(where, "TimeBudget needs equipot_fit.WarmupDecay, by steps", hint=hint))
        if trainer.world_size > 1:  # each would go by its own clock
            hint = "devices: 1, or StepBudget and a number of steps"
            raise ConfigError(
                problem("trainer.devices", "TimeBudget works in one process", got=trainer.world_size, hint=hint)
            )
        self._sizes = _sizes(trainer)
        self._first = self._first or self.used
        self._marks.append((trainer.global_step, self.used))
        self.speed.start(self.used)

    def on_validation_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Validations are timed apart from steps."""
        del trainer, pl_module
        self._validating = self.used

    def on_validation_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Time the validation, and see whether there is progress."""
        if trainer.state.fn != TrainerFn.FITTING:
            return
        taken = self.used - self._validating
        self._validations = (self._validations[0] + 1, self._validations[1] + taken)
        self._marks = deque((step, at + taken) for step, at in self._marks)
        value = float(trainer.callback_metrics.get(OBJECTIVE, math.nan))
        if value < self._best[0]:
            self._best, self._unimproved = (value, self.used), 0
            return
        self._unimproved += 1
        trained = self.used - self._first
        idle = self.used - max(self._best[1], self._first)
        if self.steps is None and self._unimproved >= FEWEST_VALIDATIONS and idle > self.patience * trained:
            self._why = "validation"
            self._begin_decay(trainer, pl_module, self._left())

    def on_train_batch_end(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Look at the clock after each optimizer step; end the training after its last one."""
        step = trainer.global_step
        if self._marks and step > self._marks[-1][0]:
            self._mark(step)
            if len(self._marks) > 1 and self.steps is None:
                self._check_start(trainer, pl_module)
            elif len(self._marks) > 1:
                self._check_end(trainer)
        super().on_train_batch_end(trainer, pl_module, outputs, batch, batch_idx)

    def on_train_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Write what the training came to."""
        del pl_module
        schedule = _schedule(trainer)
        decays = [] if schedule is None else schedule.decays
        report = {"steps": trainer.global_step, "decays": decays, "seconds": round(self.used, 3), "decay_by": self._why}
        report["frame_seconds"] = round(self.frame_seconds, 6)
        if trainer.is_global_zero:
            write_json(Path(trainer.default_root_dir) / BUDGET, report)

    # ------------------------------------------------------------------------------ decisions

    def _mark(self, step: int) -> None:
        now = self.used
        self.speed.look(now, WINDOW * self.total)
        if not self._warm:  # the first step after a start also fills caches, and says nothing of later ones
            self._warm = True
            self._marks.clear()
        window = min(WINDOW * self.total, max((self.seconds - now) / 2.0, WINDOW * WINDOW * self.total))
        self._marks.append((step, now))
        while len(self._marks) > 2 and self._marks[1][1] < now - window:
            self._marks.popleft()

    def _seconds_per_step(self, step: int) -> float:
        """Seconds of a step lately, with its share of the validations."""
        (first, begun), (last, ended) = self._marks[0], self._marks[-1]
        count, taken = self._validations
        return (ended - begun) / max(last - first, 1) + taken / max(step, 1) * (count > 0)

    def _left(self) -> float:
        """Seconds to the end, without those of the validation that comes then."""
        count, taken = self._validations
        return self.seconds + self._beyond - self.used - (taken / count if count else 0.0)

    def _check_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Begin the decay if the rest of the time is what it gets."""
        left = self._left()
        if left <= self.decay * (self.seconds - self._first):
            self._begin_decay(trainer, pl_module, left)

    def _begin_decay(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, seconds: float) -> None:
        step = trainer.global_step
        schedule = _schedule(trainer)
        assert schedule is not None  # noqa: S101 - on_train_start has checked it
        self._grant()
        seconds = max(min(seconds, self._left()), LEAST_DECAY * self.seconds)
        steps = max(int(seconds / self._seconds_per_step(step)), FEWEST_STEPS - step, 1)
        self.steps = step + steps
        schedule.add_decay(step, self.steps)
        why = "" if self._why == "time" else "validation has not improved for long: "
        self._moved = self.used
        self._tell(pl_module, f"{why}step {step}: the learning rate declines to 0 at about step {self.steps}, the end")

    def _grant(self) -> None:
        """Let the training last until the learning rate has declined for its least part of the time."""
        self._beyond += max(LEAST_DECAY * self.seconds - self._left(), 0.0)

    def _check_end(self, trainer: lightning.Trainer) -> None:
        """Move the end if the speed has changed, or time is up."""
        step, schedule = trainer.global_step, _schedule(trainer)
        assert schedule is not None  # noqa: S101 - on_train_start has checked it
        assert self.steps is not None  # noqa: S101 - this is only called then
        if step >= self.steps or step < FEWEST_STEPS:
            return
        each, limit = self._seconds_per_step(step), TOLERANCE * self.seconds
        high = factor_at(step, schedule.warmup_steps, schedule.decays) > LOW
        if high and self._left() <= 0.0 and not self._beyond and each < limit:
            self._grant()
            self._moved = -math.inf
        left = self._left()
        if left <= 0.0:
            self.steps = step
            return
        late = (self.steps - step) * each - left
        moves = abs(late) > limit
        rested = self.used - self._moved > min(PAUSE * self.seconds, left / 4.0)
        if moves and rested and schedule.decays[-1][0] < step:
            self._moved = self.used
            self.steps = step + max(int(left / each), 1)
            schedule.add_decay(step, self.steps)

    @staticmethod
    def _tell(pl_module: lightning.LightningModule, text: str) -> None:
        """Say a line where the run says its own."""
        tell = getattr(pl_module, "tell", None)
        if callable(tell):
            tell(text)


def _sizes(trainer: lightning.Trainer) -> tuple[int, float]:
    """Frames that a validation evaluates, and frames of a training step; 0 if the data do not say."""
    data: Any = getattr(trainer, "datamodule", None)
    if not isinstance(data, DataModule):
        return 0, 0.0
    names = data.set_names
    val = sum(len(data.dataset(name)) for name in names if name.startswith("val"))
    return val, len(data.dataset("train")) / max(int(trainer.num_training_batches), 1)


def has_declined(trainer: lightning.Trainer) -> bool:
    """Whether the learning rate has come down, so that the training is at its end.

    Args:
        trainer: Within ``fit``.
    """
    schedule = _schedule(trainer)
    if schedule is None or not schedule.decays:
        return False
    return factor_at(trainer.global_step, schedule.warmup_steps, schedule.decays) <= LOW


def _schedule(trainer: lightning.Trainer) -> WarmupDecay | None:
    """The schedule of the learning rate, if it is ours and steps with the optimizer."""
    for config in trainer.lr_scheduler_configs:
        if isinstance(config.scheduler, WarmupDecay) and config.interval == "step" and config.frequency == 1:
            return config.scheduler
    return None
