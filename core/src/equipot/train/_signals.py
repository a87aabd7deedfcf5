"""Signals end a run at its next step, with a checkpoint, and with the exit code that shells give."""

from __future__ import annotations

import contextlib
import functools
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import lightning
import torch

from equipot._interrupts import Interrupted, handled, ignore_further
from equipot._processes import is_first
from equipot.train._checkpoints import LAST
from equipot.train._progress import note


class Interruption:
    """Waits for a signal while a run trains, and ends the run when it is between two steps.

    Outside training there is nothing to keep, and a signal ends the run at once. So does a second Ctrl-C.
    """

    def __init__(self) -> None:
        self.number = 0
        self.save: Callable[[lightning.Trainer], None] | None = None
        self._training = False

    def handled(self) -> contextlib.AbstractContextManager[None]:
        """Handle the signals while the block runs."""
        return handled(self._receive)

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
            raise Interrupted(number, together=True)


def _highest(number: int, trainer: lightning.Trainer) -> int:
    if trainer.world_size == 1:
        return number
    value: Any = torch.tensor(number, device=trainer.strategy.root_device)
    return int(trainer.strategy.reduce(value.float(), reduce_op="max"))


def exit_after(interrupted: Interrupted, output: Path) -> SystemExit:
    """Say how to go on after a signal.

    Processes other than the first end without an error of their own if all end together, lest those that watch over
    them end the first one while it writes.

    Args:
        interrupted: Says which signal it was.
        output: Folder of the run.

    Returns:
        What ends the process, with the exit code that shells give.
    """
    ignore_further()
    if not is_first():
        return SystemExit(0 if interrupted.together else interrupted.exit_code)
    last = output / LAST
    hint = f"go on with: --resume '{last}'" if last.is_file() else "no checkpoint was written yet"
    note(output, f"{interrupted}; {hint}", functools.partial(print, file=sys.stderr))
    return SystemExit(interrupted.exit_code)
