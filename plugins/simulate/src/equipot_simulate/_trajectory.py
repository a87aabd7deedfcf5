"""Files that a run appends to, and that are cut to a known place when it goes on."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Protocol

from equipot.errors import ArtifactError, problem
from equipot.files import append_text, atomic


class Appended(Protocol):
    """A file that grows."""

    path: Path

    def position(self) -> int:
        """Where it ends, flushed to disk."""

    def cut(self, position: int) -> None:
        """Remove what was written after a position."""


class TextFile:
    """A text file; positions are bytes.

    Args:
        path: The file; made by the first text.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def append(self, text: str) -> None:
        """Add to the end."""
        append_text(self.path, text)

    def position(self) -> int:
        """Bytes, flushed to disk."""
        if not self.path.exists():
            return 0
        with self.path.open("rb") as file:
            os.fsync(file.fileno())
        return self.path.stat().st_size

    def cut(self, position: int) -> None:
        """Remove what was written after a position.

        Raises:
            ArtifactError: If the file is shorter.
        """
        if position == 0:
            self.path.unlink(missing_ok=True)
            return
        size = self.path.stat().st_size if self.path.exists() else 0
        if size < position:
            raise ArtifactError(_shorter(self.path, size, position, "bytes"))
        os.truncate(self.path, position)


class Table(TextFile):
    """A CSV file.

    Args:
        path: The file.
        columns: Its first line.
    """

    def __init__(self, path: Path, columns: Iterable[str]) -> None:
        super().__init__(path)
        self._columns = list(columns)

    def row(self, values: dict[str, Any]) -> None:
        """Add a row; what is None or missing stays empty."""
        buffer = io.StringIO()
        writer = csv.DictWriter(buffer, self._columns, lineterminator="\n", restval="")
        if not self.path.exists():
            writer.writeheader()
        writer.writerow(values)
        self.append(buffer.getvalue())

    def read(self) -> dict[str, list[float | None]]:
        """All numbers, by column; None where a row has none."""
        with self.path.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        return {name: [float(row[name]) if row[name] else None for row in rows] for name in self._columns}


class ExtxyzFile(TextFile):
    """Frames as extended XYZ, with eight decimals as ASE writes them."""

    def frame(self, atoms: Any) -> None:
        """Add a structure with its results."""
        from ase.io.extxyz import write_extxyz

        buffer = io.StringIO()
        write_extxyz(buffer, [atoms])
        self.append(buffer.getvalue())


class TrajFile:
    """Frames in ASE's binary format; positions are numbers of frames.

    Args:
        path: The file; made by the first frame.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def frame(self, atoms: Any) -> None:
        """Add a structure with its results."""
        from ase.io.trajectory import Trajectory

        with Trajectory(str(self.path), "a" if self.path.exists() else "w") as file:
            file.write(atoms)

    def position(self) -> int:
        """Frames."""
        from ase.io.trajectory import Trajectory

        if not self.path.exists():
            return 0
        with Trajectory(str(self.path)) as file:
            return len(file)

    def cut(self, position: int) -> None:
        """Remove later frames.

        Raises:
            ArtifactError: If there are fewer.
        """
        from ase.io.trajectory import Trajectory

        if position == 0:
            self.path.unlink(missing_ok=True)
            return
        found = self.position()
        if found < position:
            raise ArtifactError(_shorter(self.path, found, position, "frames"))
        if found == position:
            return
        with (
            atomic(self.path) as temporary,
            Trajectory(str(self.path)) as old,
            Trajectory(str(temporary), "w") as new,
        ):
            for index in range(position):
                new.write(old[index])


def _shorter(path: Path, found: int, expected: int, what: str) -> str:
    hint = "the file was changed; --overwrite starts again"
    return problem(str(path), f"must have at least {expected} {what}", got=found, hint=hint)


def with_results(atoms: Any, **info: Any) -> Any:
    """A copy that holds the results of the last calculation, as files have them.

    Args:
        atoms: With a calculator.
        **info: Further values of the frame.
    """
    from ase.calculators.singlepoint import SinglePointCalculator

    copied = atoms.copy()
    copied.info.update(info)
    kept = ("energy", "forces", "stress", "dipole")
    results = {key: value for key, value in atoms.calc.results.items() if key in kept}
    copied.calc = SinglePointCalculator(copied, **results)
    return copied
