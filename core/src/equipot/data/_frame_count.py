"""Count the frames of a program's file independently of the reader, which may lose one that was cut off."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, BinaryIO

from equipot.data._streams import OutputText
from equipot.errors import DataError, problem

if TYPE_CHECKING:
    from ase import Atoms

MARKS: dict[str, tuple[str, ...]] = {
    "runnerdata": (r"^begin\b", r"^end\b"),
    "castep-md": (r"<--\s+E\s*$",),
    "castep-geom": (r"<--\s+E\s*$",),
}
"""Lines of which each frame has exactly one, by format, as regular expressions."""


class CountedText(OutputText):
    """The text of a file, which counts the frames' lines as a reader goes through it.

    Args:
        stream: The file.
        where: Its name, for messages.
        size: The largest number that it may state.
        name: Format, a key of ``MARKS``.
    """

    def __init__(self, stream: BinaryIO, where: str, size: int, name: str) -> None:
        super().__init__(stream, where, size)
        self._file = where
        self._marks = [re.compile(mark, re.MULTILINE) for mark in MARKS[name]]
        self._counts = [0] * len(self._marks)

    def readline(self, size: int = -1) -> str:  # type: ignore[override]
        """The next line."""
        return self._counted(super().readline(size))

    def read(self, size: int | None = -1) -> str:
        """The rest of the file."""
        return self._counted(super().read(size))

    def _counted(self, text: str) -> str:
        for index, mark in enumerate(self._marks):
            self._counts[index] += len(mark.findall(text))
        return text

    def whole(self, frames: Iterator[Atoms]) -> Iterator[Atoms]:
        """The frames that a reader gives.

        Raises:
            DataError: At the end, if there are fewer than the file has, or one of them is not whole.
        """
        number = 0
        for atoms in frames:
            yield atoms
            number += 1
        if any(count != number for count in self._counts):
            what = f"has {max(self._counts)} frames, of which only {min(number, *self._counts)} are whole"
            raise DataError(problem(self._file, what, hint="it was cut off; write it again, or remove the last frame"))
