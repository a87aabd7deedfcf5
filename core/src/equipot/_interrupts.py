"""Signals that ask a command to end: it stops with one line and the exit code that shells give."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType

SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1") if hasattr(signal, name))
"""Ctrl-C, the end of a job, a closed terminal, and what batch systems send before the time is over."""


class Interrupted(BaseException):
    """A signal came; no ``Exception``, which libraries catch when they try something.

    Args:
        number: Of the signal.
        together: Whether all processes of a run end with it at the same step.
    """

    def __init__(self, number: int, *, together: bool = False) -> None:
        self.number = number
        self.together = together
        super().__init__(f"interrupted by {signal.Signals(number).name}")

    @property
    def exit_code(self) -> int:
        """As shells have it."""
        return 128 + self.number


def _interrupt(number: int, frame: FrameType | None) -> None:
    del frame
    raise Interrupted(number)


@contextlib.contextmanager
def handled(receive: Callable[[int, FrameType | None], object] = _interrupt) -> Iterator[None]:
    """Handle the signals while the block runs; only the main thread can.

    Args:
        receive: The handler; by default it raises ``Interrupted``.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    # a signal that was ignored from the start, as with nohup, stays ignored
    before = {one: signal.signal(one, receive) for one in SIGNALS if signal.getsignal(one) is not signal.SIG_IGN}
    try:
        yield
    finally:
        for one, handler in before.items():
            signal.signal(one, signal.SIG_DFL if handler is None else handler)


@contextlib.contextmanager
def interrupts_named(plugin: str) -> Iterator[None]:
    """Let an interruption that leaves the block say that this plugin was being imported.

    Args:
        plugin: With its distribution and version.
    """
    try:
        yield
    except (KeyboardInterrupt, Interrupted) as error:
        error.args = (f"{error} while importing {plugin}".strip(),)
        raise


def ignore_further() -> None:
    """Let what is left of a command end in peace, until its ``handled`` block is over."""
    if threading.current_thread() is threading.main_thread():
        for one in SIGNALS:
            signal.signal(one, signal.SIG_IGN)
