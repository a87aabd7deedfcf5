"""Catch what an import writes to standard output, in Python or below it, and keep both streams where they lead."""

from __future__ import annotations

import contextlib
import functools
import io
import os
import sys
from typing import Any

_STREAMS = {1: "standard output", 2: "standard error"}
_MOST = 65536
"""Bytes that are read of what was written."""


class CaughtOutput:
    """Standard output of the block goes nowhere but into ``text``; file descriptors 1 and 2 are the same afterwards.

    Messages on standard error pass.
    """

    def __init__(self) -> None:
        self.text = ""
        """What the block wrote to standard output."""
        self.redirected: list[str] = []
        """Streams that the block closed or led elsewhere; they lead again where they did."""
        self._printed = io.StringIO()
        self._python = contextlib.redirect_stdout(self._printed)
        self._kept: dict[int, int] = {}
        self._led: dict[int, tuple[int, int] | None] = {}
        self._caught = -1

    def __enter__(self) -> None:
        _flush()
        for number in _STREAMS:
            with contextlib.suppress(OSError):  # a process without this stream
                self._kept[number] = os.dup(number)
        if 1 in self._kept:
            self._caught = _unnamed_file()
            os.dup2(self._caught, 1)
        self._led = {number: _identity(number) for number in self._kept}
        self._python.__enter__()

    def __exit__(self, *error: object) -> None:
        self._python.__exit__(None, None, None)
        _flush()
        for number, kept in self._kept.items():
            if _identity(number) != self._led[number]:
                self.redirected.append(_STREAMS[number])
            os.dup2(kept, number)
            os.close(kept)
        self.text = self._printed.getvalue()
        if self._caught >= 0:
            os.lseek(self._caught, 0, os.SEEK_SET)
            self.text += os.read(self._caught, _MOST).decode(errors="replace")
            os.close(self._caught)


def _identity(number: int) -> tuple[int, int] | None:
    """Where a file descriptor leads; None if it is closed."""
    try:
        status = os.fstat(number)
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _unnamed_file() -> int:
    if hasattr(os, "memfd_create"):
        return os.memfd_create("equipot-output")
    import tempfile  # slow to import, and not needed on Linux

    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())


def _flush() -> None:
    """Write out what Python still holds back, and C too if ctypes is imported, as any library of numbers does."""
    for stream in (sys.stdout, sys.__stdout__):
        if stream is not None:
            with contextlib.suppress(OSError, ValueError):
                stream.flush()
    if ctypes := sys.modules.get("ctypes"):
        with contextlib.suppress(OSError, AttributeError, TypeError):
            _c_flush(ctypes)(None)


@functools.cache
def _c_flush(ctypes: Any) -> Any:
    """C's ``fflush``, which takes long to look up."""
    return ctypes.CDLL(None).fflush
