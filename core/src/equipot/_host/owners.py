"""Whose code sets a variable of the environment, or runs in a thread."""

from __future__ import annotations

import os
import sys
import threading
from types import FrameType
from typing import Any

_watches: list[EnvironmentWatch] = []
"""Those whose blocks run, the innermost last."""


class _WatchedEnvironment(type(os.environ)):  # type: ignore[misc] # the class has no public name
    """The environment while a watch is on."""

    def __setitem__(self, key: Any, value: Any) -> None:
        _note(key)
        super().__setitem__(key, value)

    def __delitem__(self, key: Any) -> None:
        _note(key)
        super().__delitem__(key)


def _note(key: Any) -> None:
    name, owner = os.fsdecode(key), _package(sys._getframe(2))  # noqa: SLF001 - documented, and the only way
    for watch in _watches:
        watch.owners[name] = owner
        watch.before.setdefault(name, os.environ.get(name))


class EnvironmentWatch:
    """Remembers which package set or deleted each variable of the environment in the block.

    Libraries set variables for good reasons when they are imported, so who it was matters.
    """

    def __init__(self) -> None:
        self.owners: dict[str, str] = {}
        """By variable: the package whose code changed it last."""
        self.before: dict[str, str | None] = {}
        """The values that these had; None for those that were not set. Copying all would take long."""
        self._environments = [os.environ, *([os.environb] if hasattr(os, "environb") else [])]
        self._class = type(os.environ)

    def __enter__(self) -> None:
        _watches.append(self)
        for one in self._environments:
            one.__class__ = _WatchedEnvironment

    def __exit__(self, *error: object) -> None:
        for one in self._environments:
            one.__class__ = self._class
        _watches.remove(self)

    def undo(self, package: str = "") -> list[str]:
        """Put variables back, and return their names.

        Args:
            package: Only those that this package changed; empty: all.
        """
        changed = [
            key
            for key, old in sorted(self.before.items())
            if os.environ.get(key) != old and package in ("", self.owners[key])
        ]
        for key in changed:
            if (old := self.before[key]) is None:
                del os.environ[key]
            else:
                os.environ[key] = old
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
