"""CP2K: the main output of single points, one or several in a file; see ``_cp2k_trajectory`` for other runs."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, TextIO

import numpy as np

from equipot.data._outputs._step import Step, cut_off, ended, numbers
from equipot.errors import DataError, problem

if TYPE_CHECKING:
    from ase import Atoms

_COORDINATES = re.compile(r"MODULE QUICKSTEP:\s+ATOMIC COORDINATES IN (\S+)", re.IGNORECASE)
_ENERGY = re.compile(r"^ ENERGY\| Total FORCE_EVAL \( \S+ \) energy [\[(]([^\])]*)[\])]:?\s+(\S+)")
_FORCES = re.compile(r"(?:FORCES\| Atomic forces|ATOMIC FORCES in)\s+\[([^\]]*)\]")
_STRESS = re.compile(r"(?:STRESS\| Analytical stress tensor|^ STRESS TENSOR)\s+\[([^\]]*)\]")
_VECTOR = re.compile(r"^ CELL\| Vector ([abc]) \[angstrom\]:?\s+(\S+)\s+(\S+)\s+(\S+)\s+\|[abc]\| =\s+(\S+)")
_PERIODICITY = re.compile(r"^ (?:CELL|POISSON)\| Periodicity\s+(NONE|[XYZ ]+?)\s*$")
FAILED = ("SCF run NOT converged", "outer SCF loop FAILED")
"""What the program says of a self-consistent cycle that did not converge."""


def read_cp2k(text: TextIO, where: str) -> Iterator[Atoms]:
    """The single points of an output of CP2K.

    Args:
        text: The file.
        where: Its name, for messages.

    Raises:
        DataError: If it is cut off, states a unit that is not known, or has several energies for one geometry, as in
            molecular dynamics, whose geometries are in other files.
    """
    step, cell, failed = Step(), CellReader(), ""
    for line in text:
        if cell.read(line) and step.energy is None:  # periodicity of the electrostatics follows the geometry
            cell.give(step)
        if found := _COORDINATES.search(line):
            yield from ended(step)
            step = _geometry(text, found[1], where)
            cell.give(step)
        elif mark := next((one for one in FAILED if one in line), ""):
            failed = f'"{mark}"'
        elif (energy := total_energy(line, where)) is not None:
            _add_energy(step, energy, where)
            step.unconverged, failed = failed, ""
        else:
            _add_derivatives(line, text, step, where)
    yield from ended(step)


class CellReader:
    """The cell that was printed last, and in which directions it repeats."""

    def __init__(self) -> None:
        self._vectors: dict[str, list[float]] = {}
        self._periodic = "XYZ"

    def read(self, line: str) -> bool:
        """Read a line that may be about the cell; whether it is about its periodicity."""
        if found := _VECTOR.match(line):
            *row, length = (float(one) for one in found.groups()[1:])
            rounded = sum(one * one for one in row) ** 0.5  # components have fewer digits than the length
            self._vectors[found[1]] = [one * length / rounded for one in row]
        elif found := _PERIODICITY.match(line):
            self._periodic = found[1]
            return True
        return False

    @property
    def cell(self) -> list[list[float]] | None:
        """The vectors in Å, shape [3, 3]; None if they were not printed."""
        return [self._vectors[one] for one in "abc"] if len(self._vectors) == 3 else None

    @property
    def pbc(self) -> list[bool]:
        """In which directions the cell repeats."""
        return [one in self._periodic for one in "XYZ"]

    def give(self, step: Step) -> None:
        """Put the cell into a step that has atoms."""
        if self.cell is not None and step.elements:
            step.cell, step.pbc = self.cell, self.pbc


def _add_derivatives(line: str, text: TextIO, step: Step, where: str) -> None:
    """Read forces or stress if the line is their heading."""
    if found := _FORCES.search(line):
        step.forces = _forces(text, found[1], len(step.elements), where)
    elif found := _STRESS.search(line):
        step.stress = _stress(text, found[1], where)


def _geometry(text: TextIO, unit: str, where: str) -> Step:
    """Atomic numbers and positions of the table that follows: number, kind, element, Z, x, y, z, Z(eff), mass."""
    if unit.lower() != "angstrom":
        raise _unknown_unit(where, "coordinates", unit)
    elements, positions = [], []
    for line in text:
        words, row = line.split(), numbers(line, 5)
        if row is not None and len(words) >= 9 and words[0].isdecimal():
            elements.append(int(words[-6]))
            positions.append(row[:3])
        elif words[:1] and words[0].isdecimal():
            what = "has a line in a geometry that is not the position of an atom"
            raise DataError(problem(where, what, got=line.strip()[:80]))
        elif elements:
            return Step(elements, positions)
    raise DataError(problem(where, "is cut off in a geometry", hint=cut_off()))


def total_energy(line: str, where: str) -> float | None:
    """The energy in Hartree, if the line has it.

    Raises:
        DataError: If it is in a unit that is not known.
    """
    if (found := _ENERGY.match(line)) is None:
        return None
    if found[1].lower() not in ("a.u.", "hartree"):
        raise _unknown_unit(where, "energy", found[1])
    return float(found[2])


def _add_energy(step: Step, energy: float, where: str) -> None:
    from ase.units import Hartree

    if step.energy is not None or not step.elements:
        what = "has several energies for one geometry" if step.elements else "has an energy without a geometry"
        hint = "of molecular dynamics and relaxations give NAME-pos-1.xyz, which is read with the others in its folder"
        raise DataError(problem(where, what, hint=hint))
    step.energy = step.free_energy = energy * Hartree


def _forces(text: TextIO, unit: str, count: int, where: str) -> list[list[float]]:
    """The table that follows, with a norm in the last column where the lines begin with ``FORCES|``."""
    from ase.units import Bohr, Hartree

    factors = {"a.u.": Hartree / Bohr, "hartree/bohr": Hartree / Bohr, "hartree*bohr^-1": Hartree / Bohr}
    factor = {**factors, "ev/angstrom": 1.0, "ev*angstrom^-1": 1.0}.get(unit.lower())
    if factor is None:
        raise _unknown_unit(where, "forces", unit)
    rows: list[list[float]] = []
    for line in text:
        words = line.removeprefix(" FORCES|").split()
        if not words or not words[0].isdecimal():
            if rows or line.lstrip().upper().startswith(("SUM", "FORCES| SUM")):
                break
            continue
        row = numbers(line, 4 if "FORCES|" in line else 3)
        if row is None:
            raise DataError(problem(where, "has other than three numbers for the force on an atom", got=line.strip()))
        rows.append([one * factor for one in row[:3]])
    if len(rows) != count:
        raise DataError(problem(where, f"is cut off: {len(rows)} of {count} forces", hint=cut_off()))
    return rows


def _stress(text: TextIO, unit: str, where: str) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    """The tensor that follows; CP2K's is positive under compression."""
    from ase.units import GPa, bar

    factor = {"gpa": GPa, "bar": bar, "kbar": 1000 * bar}.get(unit.lower())
    if factor is None:
        raise _unknown_unit(where, "stress", unit)
    rows: list[list[float]] = []
    for line in text:
        words, row = line.removeprefix(" STRESS|").split(), numbers(line, 3)
        if row is not None and len(words) == 4 and words[0].lower() == "xyz"[len(rows)]:
            rows.append(row)
        if len(rows) == 3:
            return -factor * np.array(rows)
    raise DataError(problem(where, "is cut off in the stress", hint=cut_off()))


def _unknown_unit(where: str, what: str, unit: str) -> DataError:
    hint = "print them in the default units, or convert the file to extended XYZ"
    return DataError(problem(where, f"prints {what} in a unit that is not read", got=unit, hint=hint))
