"""Signals that ask for the end: the step that runs is finished, and what there is gets written."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType
from typing import Any

_SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1") if hasattr(signal, name))
"""Ctrl-C, the end of a job, a closed terminal, and what batch systems send before the time is over."""


class Stopping:
    """Whether a signal came, and which."""

    number = 0
    """Of the signal; 0: none came."""

    @property
    def name(self) -> str:
        """Of the signal."""
        return signal.Signals(self.number).name

    @property
    def exit_code(self) -> int:
        """As shells have it; 0 without a signal."""
        return 128 + self.number if self.number else 0


@contextlib.contextmanager
def stopping() -> Iterator[Stopping]:
    """Note the first signal while the block runs; a second one is handled as before. Only the main thread can."""
    state = Stopping()
    if threading.current_thread() is not threading.main_thread():
        yield state
        return
    before: dict[int, Any] = {}

    def receive(number: int, frame: FrameType | None) -> None:
        if state.number:
            handler = before[number]
            if callable(handler):
                handler(number, frame)
                return
            raise KeyboardInterrupt
        state.number = number

    # a signal that was ignored from the start, as with nohup, stays ignored
    before |= {one: signal.signal(one, receive) for one in _SIGNALS if signal.getsignal(one) is not signal.SIG_IGN}
    try:
        yield state
    finally:
        for one, handler in before.items():
            signal.signal(one, signal.SIG_DFL if handler is None else handler)
