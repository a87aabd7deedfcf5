"""Whose code sets a variable of the environment, or runs in a thread."""

from __future__ import annotations

import os
import sys
import threading
from types import FrameType

_watches: list[EnvironmentWatch] = []
"""Those whose blocks run, the innermost last."""


class _WatchedEnvironment(type(os.environ)):  # type: ignore[misc] # the class has no public name
    """The environment while a watch is on."""

    def __setitem__(self, key: str, value: str) -> None:
        super().__setitem__(key, value)
        _note(key)

    def __delitem__(self, key: str) -> None:
        super().__delitem__(key)
        _note(key)


def _note(key: str) -> None:
    owner = _package(sys._getframe(2))  # noqa: SLF001 - documented, and the only way
    for watch in _watches:
        watch.owners[key] = owner


class EnvironmentWatch:
    """Remembers which package set or deleted each variable of the environment in the block.

    Libraries set variables for good reasons when they are imported, so who it was matters.
    """

    def __init__(self) -> None:
        self.owners: dict[str, str] = {}
        """By variable: the package whose code changed it last."""
        self._before = dict(os.environ)
        self._class = type(os.environ)

    def __enter__(self) -> None:
        _watches.append(self)
        os.environ.__class__ = _WatchedEnvironment

    def __exit__(self, *error: object) -> None:
        os.environ.__class__ = self._class
        _watches.remove(self)

    def undo(self, package: str = "") -> list[str]:
        """Put variables back, and return their names.

        Args:
            package: Only those that this package changed; empty: all.
        """
        now, before = dict(os.environ), self._before
        differing = sorted(key for key in now.keys() | before.keys() if now.get(key) != before.get(key))
        changed = [key for key in differing if package in ("", self.owners.get(key))]
        for key in changed:
            if key in before:
                os.environ[key] = before[key]
            else:
                del os.environ[key]
        return changed


def new_threads(before: set[threading.Thread], package: str = "") -> list[str]:
    """Names of threads that run and are not in ``before``.

    Args:
        before: Threads that ran earlier.
        package: Leave out those that run code of another package than this one and Python's own; empty: all.
    """
    frames = sys._current_frames()  # noqa: SLF001 - documented
    found = [thread for thread in threading.enumerate() if thread not in before]
    owners = ("", package)
    return [one.name for one in found if not package or _package(frames.get(one.ident or 0)) in owners]


def _package(frame: FrameType | None) -> str:
    """Top-level package of the innermost frame that is not of Python's own modules; empty if there is none."""
    while frame is not None:
        package = str(frame.f_globals.get("__name__", "")).partition(".")[0]
        if package not in sys.stdlib_module_names:
            return package
        frame = frame.f_back
    return ""
