"""Read extended XYZ frame by frame, and refuse files that ASE would read only in part.

ASE stops at a blank line in an extxyz file, and reads a number that was cut off (by a full disk, for example)
as a shorter number. Each frame is checked for both before ASE reads it.
"""

from __future__ import annotations

import io
import itertools
import logging
import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from equipot.data._streams import reading
from equipot.errors import DataError, problem

if TYPE_CHECKING:
    from ase import Atoms

logger = logging.getLogger(__name__)

_DIGITS = 12
_COLUMNS = 10_000
"""ASE needs a time that grows with the square of this number."""


class _Lines:
    """Lines with their number; one can be put back."""

    def __init__(self, lines: Iterator[str]) -> None:
        self._lines, self._kept = lines, ""
        self.number = 0

    def take(self, count: int) -> list[str]:
        """The next lines, fewer at the end of the file."""
        kept = [self._kept] if self._kept and count else []
        self._kept = "" if kept else self._kept
        found = [*kept, *itertools.islice(self._lines, count - len(kept))]
        self.number += len(found)
        return found

    def put_back(self, line: str) -> None:
        """Undo taking a line."""
        self._kept = line
        self.number -= 1


def read_extxyz(
    stream: Iterator[str], file: str, *, known: Callable[[list[str]], Any] = lambda _: None
) -> Iterator[Any]:
    """The frames of a file.

    Args:
        stream: The lines of the file with their ends.
        file: Its name, for messages.
        known: Gives what stands for the ``Atoms`` of a frame, from its lines; None: ASE reads it.

    Raises:
        DataError: If the file is empty or cut off, frames follow a blank line, or a frame cannot be read.
    """
    lines, index, last, blank_at = _Lines(stream), 0, "", 0
    while header := lines.take(1):
        if not header[0].strip():
            blank_at = blank_at or lines.number
            continue
        where = f"{file}, frame {index} (line {lines.number})"
        if blank_at:
            what = f"follows a blank line (line {blank_at}), where ASE stops reading"
            raise DataError(problem(where, what, hint="remove the blank line"))
        frame = _whole_frame(header[0], lines, where)
        last = frame[-1]
        yield known(frame) or _parsed(frame, where)
        index += 1
    if not index:
        raise DataError(problem(file, "is empty"))
    if not last.endswith("\n"):
        logger.warning("%s: the last line has no line end; if the file was cut off, its last number is wrong", file)


def _whole_frame(header: str, lines: _Lines, where: str) -> list[str]:
    """The lines of a frame, with the cell vectors that may follow it."""
    text = header.strip()
    if not (text.isascii() and text.isdigit()):
        raise DataError(problem(where, "must start with the number of atoms", got=text[:40]))
    expected = int(text) if len(text) <= _DIGITS else sys.maxsize - 1  # more than any file has lines
    frame = [header, *lines.take(expected + 1)]
    if len(frame) <= expected + 1:
        what = f"is cut off: {max(len(frame) - 2, 0)} of {text[:_DIGITS]} atoms"
        raise DataError(problem(where, what, hint="write the file again"))
    if not expected:
        raise DataError(problem(where, "has no atoms"))
    while more := lines.take(1):
        if not more[0].lstrip().startswith("VEC"):
            lines.put_back(more[0])
            break
        frame += more
    return frame


def _parsed(frame: list[str], where: str) -> Atoms:
    from ase.io.extxyz import key_val_str_to_dict, read_xyz

    def properties(comment: str) -> dict[str, Any]:
        """The comment's keys and values; ASE would believe any number of columns."""
        found: dict[str, Any] = key_val_str_to_dict(comment)
        stated = str(found.get("Properties", "")).split(":")[2::3]
        there = len(frame[2].split())
        if any(int(one) < 1 for one in stated) or sum(int(one) for one in stated) > min(there, _COLUMNS):
            what = f"Properties states other columns than the {there} of the first atom, or more than {_COLUMNS}"
            raise DataError(problem(where, what))
        return found

    with reading(where):
        (atoms,) = read_xyz(io.StringIO("".join(frame)), slice(None), properties_parser=properties)
    return atoms
