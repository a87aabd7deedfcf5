"""Threads that share one calculator take turns."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator

from equipot.errors import ConfigError, problem

_HINT = "ask with a frame, as in calc.get_property('energy', atoms), or give each thread its own copy.deepcopy of it"


class Turns:
    """A lock, and which thread was the last to leave something behind.

    ASE asks a calculator in two ways: about a frame, which is safe while the lock is held, and for what is there from
    the last calculation, which may be another thread's by then.
    """

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._latest = 0
        self._mine = threading.local()
        self._about_a_frame = False

    @contextlib.contextmanager
    def one(self) -> Iterator[None]:
        """Hold the lock while the block runs."""
        with self._lock:
            yield

    @contextlib.contextmanager
    def about_a_frame(self) -> Iterator[None]:
        """Hold the lock to work on a given frame; what is there after the block is the calling thread's."""
        with self._lock:
            before, self._about_a_frame = self._about_a_frame, True
            try:
                yield
            finally:
                self._about_a_frame = before
            self._mine.turn = self._latest

    def leave_something(self) -> None:
        """The calling thread, which holds the lock, replaces what is there."""
        self._latest += 1
        self._mine.turn = self._latest

    def require_own(self, where: str) -> None:
        """Refuse what is there to a thread that left something behind, or worked on it, before another one replaced it.

        A thread that has not used the calculator yet may see it.

        Args:
            where: What is asked for.

        Raises:
            ConfigError: Saying what to do.
        """
        if not self._about_a_frame and getattr(self._mine, "turn", self._latest) != self._latest:
            what = "another thread has used this calculator since this one last did"
            raise ConfigError(problem(where, what, hint=_HINT))
