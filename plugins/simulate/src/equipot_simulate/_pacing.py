"""Lines about the progress of long work: one at most every ten seconds."""

from __future__ import annotations

import time
from collections.abc import Callable

from equipot_simulate._setup import note

BETWEEN = 10.0
"""Seconds between two lines."""


class Pace:
    """Says how far work is.

    Args:
        what: Name of the work.
        total: All steps.
        done: Steps that were done before.
    """

    def __init__(self, what: str, total: int, done: int = 0) -> None:
        self._what, self._total, self._before = what, total, done
        self._start = self._last = time.monotonic()

    def update(self, done: int, text: Callable[[], str] = str) -> None:
        """A line, if none was printed lately.

        Args:
            done: Steps that are done now.
            text: Makes further words for the line.
        """
        now = time.monotonic()
        if now - self._last < BETWEEN:
            return
        self._last = now
        more = text()
        note(f"{self._what}: {done} of {self._total}{', ' + more if more else ''}, {self.left(done, now)}")

    def left(self, done: int, now: float) -> str:
        """Speed and time left, by what was done since the start."""
        spent = max(now - self._start, 1e-9)
        rate = (done - self._before) / spent
        if rate <= 0.0:
            return "time left unknown"
        return f"{rate:.3g} per second, {(self._total - done) / rate:.0f} s left"

    def rate(self, done: int) -> float:
        """Steps per second since the start."""
        return (done - self._before) / max(time.monotonic() - self._start, 1e-9)
