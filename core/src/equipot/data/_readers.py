"""Read labelled frames with ASE, and refuse files that ASE would read only in part.

ASE stops at a blank line in an extxyz file, and reads a number that was cut off (by a full disk, for example)
as a shorter number. Files are checked for both before ASE reads them.
"""

from __future__ import annotations

import itertools
import logging
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from equipot.errors import DataError, did_you_mean, problem

if TYPE_CHECKING:
    from ase import Atoms

logger = logging.getLogger(__name__)

_DATABASES = (".db", ".json", ".aselmdb")


def read_atoms(path: str | Path, ase_args: Mapping[str, Any] | None = None) -> list[Atoms]:
    """All frames of a file in any format that ASE reads.

    Args:
        path: The file.
        ase_args: Arguments of ``ase.io.iread``, e.g. ``{"format": "extxyz", "index": ":100"}``; all
            frames by default.

    Returns:
        At least one structure, as ASE reads it (constraints are attached, never applied).

    Raises:
        DataError: If the file is missing, empty, cut off or not readable; the message names file and frame.
    """
    from ase.io import iread

    file = Path(path)
    arguments = {"index": ":", "do_not_split_by_at_sign": True, **(ase_args or {})}
    check_file(file)
    _check_complete(file, arguments.get("format"))
    database = file.suffix.lower() in _DATABASES and not ase_args
    frames: list[Atoms] = []
    try:
        frames.extend(_database_rows(file) if database else iread(str(file), **arguments))
    except Exception as error:
        text = f"{type(error).__name__}: {error}".strip(": ")
        raise DataError(
            problem(
                str(file),
                f"cannot be read beyond frame {len(frames)} (counted from 0): {text}",
                hint="check the file, or give ase_args: {format: ...}",
            )
        ) from error
    if not frames:
        raise DataError(problem(str(file), "has no frames"))
    return frames


def read_placed(files: Iterable[str], ase_args: Mapping[str, Any] | None = None) -> Iterator[tuple[str, Atoms]]:
    """All frames of several files, each with its place for messages: the file and the index from 0.

    Args:
        files: Paths.
        ase_args: Arguments of ``ase.io.iread``.

    Raises:
        DataError: As for ``read_atoms``.
    """
    for file in files:
        for index, atoms in enumerate(read_atoms(file, ase_args)):
            yield f"{file}, frame {index}", atoms


def _database_rows(file: Path) -> Iterator[Atoms]:
    """Rows of an ASE database with their key-value pairs and data, which ``ase.io`` leaves out."""
    from ase.db import connect

    for row in connect(str(file)).select():
        yield row.toatoms(add_additional_information=True)


def check_file(path: str | Path) -> None:
    """Check that a path exists.

    Raises:
        DataError: If it is neither a file nor a folder; the message suggests a file with a similar name.
    """
    file = Path(path)
    if file.is_file() or file.is_dir():
        return
    siblings = [item.name for item in file.parent.iterdir()] if file.parent.is_dir() else []
    hint = did_you_mean(file.name, siblings) or f"relative paths start from {Path.cwd()}"
    raise DataError(problem(str(file), "no such file", hint=hint))


def _check_complete(file: Path, format_name: str | None) -> None:
    if format_name is None:
        plain = file.suffix.lower() in (".xyz", ".extxyz")
    else:
        plain = format_name == "extxyz" and file.suffix.lower() not in (".gz", ".bz2", ".xz")
    if plain and file.is_file():
        with file.open(encoding="utf-8", errors="replace") as stream:
            _scan_extxyz(file, iter(stream))


def _scan_extxyz(file: Path, lines: Iterator[str]) -> None:
    """Check the frames of an extxyz file; each is a number of atoms, a comment and one line per atom."""
    number, frame, blank_at, last = 0, -1, 0, ""
    for header in lines:
        number, last = number + 1, header
        if not header.strip():
            blank_at = blank_at or number
            continue
        if header.lstrip().startswith("VEC") and frame >= 0:
            continue
        frame += 1
        if blank_at:
            what = f"follows a blank line (line {blank_at}), where ASE stops reading"
            raise DataError(problem(f"{file}, frame {frame}", what, hint="remove the blank line"))
        number, last = _skip_frame(file, lines, frame, number, header)
    if frame < 0:
        raise DataError(problem(str(file), "is empty"))
    if not last.endswith("\n"):
        logger.warning("%s: the last line has no line end; if the file was cut off, its last number is wrong", file)


def _skip_frame(file: Path, lines: Iterator[str], frame: int, number: int, header: str) -> tuple[int, str]:
    where = f"{file}, frame {frame} (line {number})"
    if not header.strip().isdigit():
        raise DataError(problem(where, "must start with the number of atoms", got=header.strip()[:40]))
    expected = int(header)
    body = list(itertools.islice(lines, expected + 1))
    if len(body) <= expected:
        what = f"is cut off: {max(len(body) - 1, 0)} of {expected} atoms"
        raise DataError(problem(where, what, hint="write the file again"))
    return number + len(body), body[-1]
