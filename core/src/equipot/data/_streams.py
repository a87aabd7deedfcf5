"""Open data files that somebody else wrote: bounded in size, and with errors that name the file.

Readers of other libraries fail in many ways on damaged files (IndexError, MemoryError, RecursionError, …), or believe a
number in the file and allocate what it states. ``reading`` turns every failure into a DataError; the streams here end
early where a file is not what it says.
"""

from __future__ import annotations

import bz2
import contextlib
import gzip
import io
import logging
import lzma
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

from equipot.errors import ArtifactError, DataError, problem
from equipot.files import open_regular

EXPANSION = 25
"""Compressed files may be this many times larger than they are on disk: labelled frames shrink by 3 to 10."""

ALLOWANCE = 16 * 1024**2
"""Bytes that any file may expand to, however small it is."""

logger = logging.getLogger(__name__)

_PIECE = 1024**2
_XZ_MEMORY = 256 * 1024**2
_IDLE_READS = 1000
_COUNTS = re.compile(r"(?i)number of (atoms|bands|ions|k.points)|ions per type|NIONS|NKPTS|NBANDS")
_INTEGER = re.compile(r"(?<![\d.])\d{4,}(?![\d.])")


@contextlib.contextmanager
def reading(where: str | Callable[[], str], hint: str = "") -> Iterator[None]:
    """Turn every failure of the block into a DataError, because readers of damaged files fail in any way.

    Args:
        where: File and frame, for messages; a function if it changes while the block runs.
        hint: What to do.

    Raises:
        DataError: Instead of any other exception, MemoryError and RecursionError included. An interrupt passes.

    Example:
        >>> with reading("a.npz"):
        ...     {}["R"]
        Traceback (most recent call last):
        equipot.errors.DataError: a.npz: cannot be read: KeyError: 'R'
    """
    try:
        yield
    except DataError:
        raise
    except ArtifactError as error:
        raise DataError(str(error)) from None
    except Exception as error:
        text = f"{type(error).__name__}: {error}".strip(": ")
        shown = text if len(text) <= 300 else f"{text[:300]}…"
        place = where if isinstance(where, str) else where()
        raise DataError(problem(place, f"cannot be read: {shown}", hint=hint)) from error


def largest(size: int) -> int:
    """Bytes that a file, or a part of it, of this size may expand to."""
    return ALLOWANCE + EXPANSION * size


def compression(path: Path) -> str:
    """The suffix if it is one of a compressed file (``.gz``, ``.bz2``, ``.xz``), else an empty string."""
    return path.suffix.lower() if path.suffix.lower() in (".gz", ".bz2", ".xz") else ""


@contextlib.contextmanager
def opened(path: Path) -> Iterator[BinaryIO]:
    """A regular file, decompressed; a compressed one cannot seek.

    Raises:
        DataError: When more is read from a compressed file than labelled frames can have been compressed to.
    """
    with open_regular(path) as file:
        kind = compression(path)
        if not kind:
            yield file
            return
        limit = largest(path.stat().st_size)
        with io.BufferedReader(_Expanded(_pieces(file, kind), limit, path), _PIECE) as expanded:
            yield expanded


def _pieces(file: BinaryIO, kind: str) -> Iterator[bytes]:
    """The decompressed contents, at most one mebibyte at a time."""
    if kind == ".gz":
        with gzip.GzipFile(fileobj=file) as unzipped:
            while piece := unzipped.read(_PIECE):
                yield piece
        return
    data = file.read(_PIECE)
    while data:
        unpacker = bz2.BZ2Decompressor() if kind == ".bz2" else lzma.LZMADecompressor(memlimit=_XZ_MEMORY)
        while not unpacker.eof:
            piece = unpacker.decompress(data, _PIECE)
            data = b"" if not unpacker.needs_input else file.read(_PIECE)
            if not piece and not data and unpacker.needs_input:
                raise EOFError("the compressed data end too early")
            yield piece
        data = unpacker.unused_data or file.read(_PIECE)


class _Expanded(io.RawIOBase):
    """Pieces as a stream that refuses to become larger than a limit."""

    def __init__(self, pieces: Iterator[bytes], limit: int, path: Path) -> None:
        self._pieces, self._left, self._path = pieces, limit, path
        self._piece = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        while not self._piece:
            if (piece := next(self._pieces, None)) is None:
                return 0
            self._piece = memoryview(piece)
        count = min(len(buffer), len(self._piece))
        self._left -= count
        if self._left < 0:
            what = f"expands to more than {EXPANSION} times its size"
            raise DataError(problem(str(self._path), what, hint="decompress it yourself if you trust it"))
        buffer[:count] = self._piece[:count]
        self._piece = self._piece[count:]
        return count


class OutputText(io.TextIOWrapper):
    """The text of a program's output, for readers that count on what it states.

    Some read lines until a stated number is reached, without end if the file is cut off, and some allocate what it
    states. Both end here with a DataError. A last line without an end is left out unless ``whole_lines`` is false:
    programs end all lines, so that its last number may be a part of one.
    """

    name = f"{os.devnull}/output"  # one of ASE's readers looks for other files in the folder of this name

    def __init__(self, stream: BinaryIO, where: str, size: int, *, whole_lines: bool = True) -> None:
        super().__init__(stream, encoding="utf-8-sig")
        self._where, self._size, self._whole_lines, self._idle = where, size, whole_lines, 0

    def readline(self, size: int = -1) -> str:  # type: ignore[override]
        """The next line; empty at the end, a limited number of times."""
        line = super().readline(size)
        if self._whole_lines and size < 0 and line and not line.endswith("\n"):
            logger.warning("%s: the last line has no end and is left out; the file was cut off", self._where)
            line = ""
        if not line:
            self._idle += 1
            if self._idle > _IDLE_READS:
                raise DataError(problem(self._where, "is cut off", hint="write the file again"))
        elif _COUNTS.search(line) and sum(int(found[:20]) for found in _INTEGER.findall(line)) > self._size:
            raise DataError(problem(self._where, "states more than a file of this size can have", got=line[:80]))
        return line
