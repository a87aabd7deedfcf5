"""What a program printed about one geometry, and the parts that all readers of outputs share."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from equipot.commands import setting
from equipot.data._collection import NOTES, UNCONVERGED
from equipot.errors import DataError, problem

if TYPE_CHECKING:
    from ase import Atoms

logger = logging.getLogger(__name__)

Rows = Any
"""Three numbers per row."""


@dataclass
class Step:
    """One geometry with its results, in eV and Å; positive stress is tension."""

    elements: list[str] | list[int] = field(default_factory=list)
    """Chemical symbols or atomic numbers."""
    positions: Rows = ()
    cell: Rows | None = None
    pbc: bool | list[bool] = False
    energy: float | None = None
    free_energy: float | None = None
    forces: Rows | None = None
    stress: Any = None
    """Shape [3, 3]."""
    complete: bool = False
    """Whether the program says that it ended after this geometry."""
    unconverged: str = ""
    """How the program says that the self-consistent cycle did not converge; empty if it does not say so."""

    def move_to(self, other: Step) -> None:
        """Take the geometry of another step."""
        self.elements, self.positions, self.cell, self.pbc = other.elements, other.positions, other.cell, other.pbc

    def atoms(self) -> Atoms:
        """The frame.

        Raises:
            ValueError: If there are other numbers of positions or forces than atoms.
        """
        from ase import Atoms
        from ase.calculators.singlepoint import SinglePointCalculator

        atoms = Atoms(self.elements, positions=_table(self.positions, len(self.elements), "positions"))
        if self.cell is not None:
            atoms.set_cell(_table(self.cell, 3, "cell vectors"))
        atoms.set_pbc(self.pbc)
        results: dict[str, Any] = {"energy": self.energy, "free_energy": self.free_energy}
        if self.forces is not None:
            results["forces"] = _table(self.forces, len(self.elements), "forces")
        if self.stress is not None:
            tensor = _table(self.stress, 3, "rows of the stress")
            results["stress"] = ((tensor + tensor.T) / 2).ravel()[[0, 4, 8, 5, 2, 1]]
        atoms.calc = SinglePointCalculator(atoms, **{key: one for key, one in results.items() if one is not None})
        return noted(atoms, self.unconverged)


def cut_off() -> str:
    """What to do with a file that ends within a step."""
    return f"read the steps before it with {setting('ase_args', {'index': ':N'})}, or write the file again"


def ended(step: Step) -> Iterator[Atoms]:
    """The frame of a step that has an energy."""
    if step.energy is not None:
        yield step.atoms()


def noted(atoms: Atoms, unconverged: str) -> Atoms:
    """The structure, with a note if a reader found that it did not converge."""
    if unconverged:
        atoms.info[NOTES] = [(UNCONVERGED, unconverged)]
    return atoms


def _table(rows: Any, count: int, what: str) -> np.ndarray[Any, np.dtype[Any]]:
    table = np.array(rows, dtype=np.float64)
    if table.shape != (count, 3):
        raise ValueError(f"{len(table)} of {count} {what}")
    return table


def numbers(line: str, count: int) -> list[float] | None:
    """The last numbers of a line; None if it has fewer words, or others there."""
    try:
        found = [float(word) for word in line.split()[-count:]]
    except ValueError:
        return None
    return found if len(found) == count else None


def following(lines: Iterator[str], count: int, where: str, what: str) -> list[str]:
    """The next lines.

    Raises:
        DataError: If the file ends before.
    """
    found = [line for _, line in zip(range(count), lines, strict=False)]
    if len(found) < count:
        raise DataError(problem(where, f"is cut off: {len(found)} of {count} lines of the {what}", hint=cut_off()))
    return found


def table(lines: Iterator[str], count: int, where: str, what: str) -> list[list[float]]:
    """The last three numbers of each of the next lines.

    Raises:
        DataError: If the file ends before, or a line does not end with three numbers.
    """
    rows = []
    for line in following(lines, count, where, what):
        row = numbers(line, 3)
        if row is None:
            raise DataError(problem(where, f"has no three numbers in a line of the {what}", got=line.strip()[:80]))
        rows.append(row)
    return rows


def unfinished(where: str) -> None:
    """Say that a file ends within a step, which is left out."""
    logger.warning("%s: ends within a step, which is left out; the program did not end or is still running", where)
