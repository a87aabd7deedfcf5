"""Signals end a run at its next step, with a checkpoint, and with the exit code that shells give."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

import lightning
import torch

SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1") if hasattr(signal, name))
"""Ctrl-C, the end of a job, a closed terminal, and what batch systems send before the time is over."""


class Interrupted(Exception):  # noqa: N818 - no error: what was asked for
    """A signal came.

    Args:
        number: Of the signal.
    """

    def __init__(self, number: int) -> None:
        self.number = number
        super().__init__(f"interrupted by {signal.Signals(number).name}")

    @property
    def exit_code(self) -> int:
        """As shells have it."""
        return 128 + self.number


class Interruption:
    """Waits for a signal while a run trains, and ends the run when it is between two steps.

    Outside training there is nothing to keep, and a signal ends the run at once. So does a second Ctrl-C.
    """

    def __init__(self) -> None:
        self.number = 0
        self.save: Callable[[lightning.Trainer], None] | None = None
        self._training = False

    @contextlib.contextmanager
    def handled(self) -> Iterator[None]:
        """Handle the signals while the block runs."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.signal(number, self._receive) for number in SIGNALS}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, signal.SIG_DFL if handler is None else handler)

    def _receive(self, number: int, frame: FrameType | None) -> None:
        del frame
        again = self.number == number == signal.SIGINT
        self.number = number
        if again or not self._training:
            raise Interrupted(number)

    @contextlib.contextmanager
    def training(self) -> Iterator[None]:
        """While the block runs, ``check`` ends the run and not the signal itself."""
        self._training = True
        try:
            yield
        finally:
            self._training = False

    def start(self) -> None:
        """Take SIGTERM back from Lightning, whose handler talks to other processes at any instant."""
        if self._training and threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, self._receive)

    def check(self, trainer: lightning.Trainer) -> None:
        """End the run if a signal came to any of its processes; between optimizer steps.

        Args:
            trainer: At the end of a batch, of training or of a validation.

        Raises:
            Interrupted: After ``last.ckpt`` was written.
        """
        if not self._training or trainer.fit_loop._should_accumulate():  # noqa: SLF001 - has no public name
            return
        number = _highest(self.number, trainer)
        if number:
            self._training = False
            if self.save is not None:
                self.save(trainer)
            raise Interrupted(number)


def _highest(number: int, trainer: lightning.Trainer) -> int:
    if trainer.world_size == 1:
        return number
    value: Any = torch.tensor(number, device=trainer.strategy.root_device)
    return int(trainer.strategy.reduce(value.float(), reduce_op="max"))
