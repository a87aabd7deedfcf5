"""Progress of work that takes more than two seconds: a bar with the time left, or in a log a line now and then.

Nothing is shown before a command has called ``show``, so that scripts which call the same functions stay silent.
"""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

T = TypeVar("T")

PATIENCE = 2.0
"""Seconds before anything is shown."""

_BETWEEN_LINES = 60.0
_state = {"shown": False}


def show() -> None:
    """Show the progress of long work from now on: commands call this."""
    _state["shown"] = True


@contextlib.contextmanager
def progress(what: str, total: float) -> Iterator[Callable[[float], None]]:
    """Show how far a block of work is.

    Args:
        what: The work, e.g. ``reading data.extxyz``.
        total: What all of the work amounts to, in any unit.

    Yields:
        A function that is called with what is done so far.
    """
    if not _state["shown"]:
        yield _silent
        return
    view = _Bar(what, total) if sys.stderr.isatty() else _Lines(what, total)
    try:
        yield view.update
    finally:
        view.end()


def track(items: Sequence[T], what: str) -> Iterator[T]:
    """The items, with the progress of the work on them."""
    with progress(what, len(items)) as update:
        for done, item in enumerate(items):
            yield item
            update(done + 1)


def _silent(done: float) -> None:
    """Show nothing."""


class _Lines:
    """A line a minute, for files and pipes."""

    def __init__(self, what: str, total: float) -> None:
        self._what, self._total = what, total
        self._start = self._last = time.monotonic()

    def update(self, done: float) -> None:
        """Say how far the work is, if that was not said lately."""
        now = time.monotonic()
        if now - self._last < _BETWEEN_LINES or not 0 < done < self._total:
            return
        self._last = now
        left = (now - self._start) * (self._total - done) / done
        sys.stderr.write(f"{self._what}: {100 * done / self._total:.0f} %, {left:.0f} s left\n")

    def end(self) -> None:
        """Nothing is left to do."""


class _Bar:
    """A bar in the terminal."""

    def __init__(self, what: str, total: float) -> None:
        self._what, self._total = what, total
        self._start = time.monotonic()
        self._bar: Any = None
        self._task: Any = None

    def update(self, done: float) -> None:
        """Draw the bar, if the work takes long enough for that."""
        if self._bar is None:
            if time.monotonic() - self._start < PATIENCE:
                return
            self._begin()
        self._bar.update(self._task, completed=done)

    def _begin(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

        columns = (TextColumn("{task.description}", markup=False), BarColumn(), TaskProgressColumn())
        console = Console(stderr=True)
        self._bar = Progress(*columns, TimeRemainingColumn(), console=console, transient=True)
        self._task = self._bar.add_task(self._what, total=self._total)
        self._bar.start()

    def end(self) -> None:
        """Remove the bar."""
        if self._bar is not None:
            self._bar.stop()
