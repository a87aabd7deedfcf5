"""Read extended XYZ frame by frame, and refuse files that ASE would read only in part.

ASE stops at a blank line in an extxyz file, reads a number that was cut off (by a full disk, for example) as a shorter
number, believes the last of several values of one key, and atomic numbers against symbols. Each frame is counted and
checked for all of these before ASE reads it, under any file name.
"""

from __future__ import annotations

import io
import itertools
import logging
import sys
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from equipot.data._collection import NOTES
from equipot.data._extxyz_comment import PROPERTIES as _PROPERTIES
from equipot.data._extxyz_comment import Columns, parsed_comment
from equipot.data._species import check_against_numbers, check_names
from equipot.data._streams import reading
from equipot.errors import DataError, problem

if TYPE_CHECKING:
    from ase import Atoms

logger = logging.getLogger(__name__)

_DIGITS = 12

_ENOUGH = 12

NO_LINE_END = "no-line-end"
"""Code of the note on a file whose last line has no end."""


class _Lines:
    """Lines with their number; one can be put back."""

    def __init__(self, lines: Iterator[str], file: str) -> None:
        self._lines, self._kept, self._file = lines, "", file
        self.number = 0

    def take(self, count: int) -> list[str]:
        """The next lines, fewer at the end of the file."""
        kept = [self._kept] if self._kept and count else []
        self._kept = "" if kept else self._kept
        try:
            found = [*kept, *itertools.islice(self._lines, count - len(kept))]
        except UnicodeDecodeError:
            what = "is not text in UTF-8, as extended XYZ must be"
            raise DataError(problem(self._file, what, hint="save it again in this encoding")) from None
        self.number += len(found)
        return found

    def put_back(self, line: str) -> None:
        """Undo taking a line."""
        self._kept = line
        self.number -= 1


def read_extxyz(
    stream: Iterator[str],
    file: str,
    species: Mapping[str, str] | None = None,
    *,
    known: Callable[[list[str]], Any] = lambda _: None,
) -> Iterator[Any]:
    """The frames of a file.

    Args:
        stream: The lines of the file with their ends.
        file: Its name, for messages.
        species: Element of each name of atoms that is not a symbol, e.g. ``{"OW": "O"}``.
        known: Gives what stands for the ``Atoms`` of a frame, from its lines; None: ASE reads it.

    Raises:
        DataError: If the file is empty or cut off, frames follow a blank line, or a frame cannot be read.
    """
    lines, index, blank_at = _Lines(stream, file), 0, 0
    while header := lines.take(1):
        if not header[0].strip():
            blank_at = blank_at or lines.number
            continue
        where = f"{file}, frame {index} (line {lines.number})"
        if blank_at:
            what = f"follows a blank line (line {blank_at}), where ASE stops reading"
            raise DataError(problem(where, what, hint="remove the blank line"))
        frame = _whole_frame(header[0], lines, where)
        yield known(frame) or _parsed(frame, where, species or {})
        index += 1
    if not index:
        raise DataError(problem(file, "is empty"))


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


def _parsed(frame: list[str], where: str, species: Mapping[str, str]) -> Atoms:
    from ase.io.extxyz import read_xyz

    notes: list[tuple[str, str]] = []
    comment = parsed_comment(frame[1], where)
    columns = Columns(str(comment.get("Properties", _PROPERTIES)), frame[2], where)
    rows = _named(frame, columns, where, species, notes)
    comment["Properties"] = columns.text
    if not frame[-1].endswith("\n"):
        _check_end(rows[2:], columns, where)
        notes.append((NO_LINE_END, "the last line has no line end: the file may be cut off"))
        logger.warning("%s: the last line has no line end; if the file was cut off, its last number is wrong", where)
    with reading(where):
        try:
            (atoms,) = read_xyz(io.StringIO("".join(rows)), slice(None), properties_parser=lambda _: comment)
        except (ValueError, IndexError):
            columns.explain(rows[2 : 2 + int(frame[0])])
            raise
    if notes:
        atoms.info[NOTES] = notes
    return atoms


def _named(
    frame: list[str], columns: Columns, where: str, species: Mapping[str, str], notes: list[tuple[str, str]]
) -> list[str]:
    """The lines of a frame with the elements of all atoms; appends to ``notes``."""
    column, numbers = columns.first("species", "symbols"), columns.first("Z", "numbers")
    if column is None:
        if numbers is None:
            raise DataError(problem(where, "Properties names no column species or Z", got=columns.text))
        return frame
    if columns.first("pos", "positions") is None:
        raise DataError(problem(where, "Properties names no column pos", got=columns.text))
    atoms = frame[2 : 2 + int(frame[0])]
    try:
        names = [row.split(None, column + 1)[column] for row in atoms]
    except IndexError:
        columns.explain(atoms)
        raise
    if not species.keys().isdisjoint(names):
        names = [species.get(name, name) for name in names]
        atoms = [_replaced(row, column, name) for row, name in zip(atoms, names, strict=True)]
        frame = [*frame[:2], *atoms, *frame[2 + len(atoms) :]]
    columns.as_text(column)
    if numbers is None:
        notes += check_names(names, where)
    else:
        pairs = zip(names, (_whole(row.split()[numbers : numbers + 1]) for row in atoms), strict=True)
        check_against_numbers(pairs, where)
    return frame


def _replaced(row: str, column: int, word: str) -> str:
    """The line of an atom with another word in a column."""
    words = row.split()
    words[column] = word
    return " ".join(words) + "\n"


def _whole(words: list[str]) -> int:
    """The number in a column, or -1, which cannot be an atomic number."""
    return int(words[0]) if words and words[0].isdigit() and len(words[0]) < _DIGITS else -1


def _check_end(rows: list[str], columns: Columns, where: str) -> None:
    """Raise a DataError if the last number of a file was cut off: all other numbers of the frame have more digits.

    Programs that leave out trailing zeros write short numbers too, so it needs many others to be sure.
    """
    *others, last = [word for row in rows for word in row.split()[: columns.width]]
    others = [word for word in others if "." in word]
    shapes = {_shape(word) for word in others}
    if len(others) >= _ENOUGH and len(shapes) == 1 and sum(_shape(last)) < sum(next(iter(shapes))):
        what = f"is cut off: its last number has fewer digits than the others like {others[0]}"
        raise DataError(problem(where, what, got=last, hint="write the file again"))


def _shape(word: str) -> tuple[int, int]:
    """Number of decimals and of digits in the exponent."""
    mantissa, _, exponent = word.lower().partition("e")
    return len(mantissa.partition(".")[2]), len(exponent)
