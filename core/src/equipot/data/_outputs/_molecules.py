"""Gaussian and ORCA: programs for molecules that print their results in Hartree and Bohr."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, TextIO

import numpy as np

from equipot.data._outputs._step import Step, cut_off, following, numbers, unfinished
from equipot.errors import DataError, problem

if TYPE_CHECKING:
    from ase import Atoms

_ORIENTATIONS = ("Input orientation:", "Z-Matrix orientation:", "Standard orientation:")
_SCF = ("SCF Done:", "Energy=", "Recovered energy=")
_HIGHER = (
    "E2 =", "E3 =", "E4(", "DEMP5 =", "E2(", "Wavefunction amplitudes converged. E(Corr)", "CCSD(T)=",
    "Total Energy, E(TD-HF/TD-DFT)",
)  # fmt: skip
"""Energies of better methods, which Gaussian prints after that of the reference; the last number of the line."""
_FORCES = re.compile(r"^\s*Center\s+Atomic\s+Forces\s+\(Hartrees/Bohr\)\s*$")
_TERMINATION = ("Normal termination", "Error termination")
_SAME = 1e-6
"""Hartree; the same geometry with the same energy is one frame, as before and after the frequencies."""
_MP2_ROW = re.compile(r"^\s*\d+:\s+\S+\s+\S+\s+\S+\s*$")


def read_gaussian(text: TextIO, where: str) -> Iterator[Atoms]:
    """The geometries with energies in an output of Gaussian.

    Args:
        text: The file.
        where: Its name, for messages.

    Raises:
        DataError: If it is cut off, or has forces for a geometry in other axes.
    """
    held: Step | None = None
    for step in _gaussian_steps(text, where):
        if held is not None and _repeats(step, held):
            held = step if held.forces is None else held
            continue
        if held is not None:
            yield held.atoms()
        held = step
    if held is not None:
        yield held.atoms()


def _gaussian_steps(text: TextIO, where: str) -> Iterator[Step]:
    step, orientation, failed = Step(), "", False
    for line in text:
        start = line.strip()
        if start in _ORIENTATIONS:
            if step.energy is not None:
                yield step
                step, orientation = Step(), ""
            found = _gaussian_geometry(text, where)
            if orientation != _ORIENTATIONS[0]:  # forces are in the axes of the input
                step.move_to(found)
                orientation = start
        elif _FORCES.match(line):
            step.forces = _gaussian_forces(text, len(step.elements), orientation, where)
        else:
            failed = _gaussian_result(start, step, failed=failed)
    if step.energy is not None and step.elements:
        if step.complete or step.forces is not None:
            yield step
        else:  # its energy may be that of the reference, before the one of a better method
            unfinished(where)


def _gaussian_result(line: str, step: Step, *, failed: bool) -> bool:
    """Read an energy, or that the program ended; returns whether the cycle whose energy follows did not converge."""
    if line.startswith(">>>>>>>>>> Convergence criterion not met"):
        return True
    if line.startswith(_SCF):
        # a second cycle with another method, as after scf=xqc, makes up for the first
        step.unconverged, failed = '"Convergence criterion not met"' if failed else "", False
    if line.startswith((*_SCF, *_HIGHER)):
        step.energy = step.free_energy = _gaussian_energy(line)
    elif line.startswith(_TERMINATION):
        step.complete = True
    return failed


def _gaussian_geometry(text: TextIO, where: str) -> Step:
    """Elements, positions and translation vectors of the table that follows."""
    following(text, 4, where, "geometry")
    step, numbers_of, positions, vectors = Step(), [], [], []
    for line in text:
        row = numbers(line, 3)
        if row is None or len(line.split()) != 6:
            _table_ends(line, "-", where)
            break
        number = int(line.split()[1])
        if number == -2:  # a vector of a periodic system
            vectors.append(row)
        else:
            numbers_of.append(max(number, 0))
            positions.append(row)
    else:
        raise DataError(problem(where, "is cut off in a geometry", hint=cut_off()))
    if vectors and len(vectors) < 3:
        hint = "give its frames as extended XYZ with pbc"
        raise DataError(problem(where, f"is periodic in {len(vectors)} directions only", hint=hint))
    step.elements, step.positions = numbers_of, positions
    if vectors:
        step.cell, step.pbc = vectors, True
    return step


def _table_ends(line: str, end: str, where: str) -> None:
    """Refuse a line that neither is a row of a geometry nor ends it, which is one of ``end`` or an empty line."""
    if line.strip().strip(end):
        raise DataError(
            problem(where, "has a line in a geometry that is not the position of an atom", got=line.strip()[:80])
        )


def _gaussian_energy(line: str) -> float:
    from ase.units import Hartree

    after = line.split("=")[1 if line.startswith(_SCF) else -1]
    return float(after.split()[0].replace("D", "e")) * Hartree


def _gaussian_forces(text: TextIO, count: int, orientation: str, where: str) -> list[list[float]]:
    from ase.units import Bohr, Hartree

    if orientation == _ORIENTATIONS[2]:
        what = "has forces in the axes of the input but only the geometry in the standard orientation"
        raise DataError(problem(where, what, hint="run Gaussian with #P or nosymm"))
    following(text, 2, where, "forces")
    rows = [numbers(line, 3) for line in following(text, count, where, "forces")]
    if None in rows:
        raise DataError(problem(where, "has other than three numbers for the force on an atom"))
    return [[one * Hartree / Bohr for one in row] for row in rows if row is not None]


def _repeats(step: Step, held: Step) -> bool:
    from ase.units import Hartree

    same = np.array_equal(step.positions, held.positions) and step.elements == held.elements
    return same and abs((step.energy or 0.0) - (held.energy or 0.0)) < _SAME * Hartree


def read_orca(text: TextIO, where: str) -> Iterator[Atoms]:
    """The geometries with energies in an output of ORCA.

    Args:
        text: The file.
        where: Its name, for messages.

    Raises:
        DataError: If it is cut off.
    """
    step = Step()
    for line in text:
        start = line.strip()
        if start == "CARTESIAN COORDINATES (ANGSTROEM)":
            if step.energy is not None:
                yield step.atoms()
            step = _orca_geometry(text, where)
        elif start.startswith("FINAL SINGLE POINT ENERGY"):
            _orca_energy(step, start)
        elif start.startswith("SCF NOT CONVERGED AFTER"):
            step.unconverged = '"SCF NOT CONVERGED"'
        elif start == "CARTESIAN GRADIENT" and step.forces is None:
            following(text, 2, where, "gradient")
            step.forces = _orca_forces(following(text, len(step.elements), where, "gradient"), where)
        elif start == "The final MP2 gradient":
            rows = following(text, len(step.elements), where, "gradient")
            if all(_MP2_ROW.match(row) for row in rows):
                step.forces = _orca_forces(rows, where)
    if step.energy is not None and step.elements:
        yield step.atoms()


def _orca_geometry(text: TextIO, where: str) -> Step:
    following(text, 1, where, "geometry")
    symbols: list[str] = []
    positions: list[list[float]] = []
    for line in text:
        row = numbers(line, 3)
        if row is None or len(line.split()) != 4:
            _table_ends(line, "", where)
            return Step(symbols, positions)
        symbols.append(line.split()[0])
        positions.append(row)
    raise DataError(problem(where, "is cut off in a geometry", hint=cut_off()))


def _orca_energy(step: Step, line: str) -> None:
    """Read the energy; a note in brackets comes before or after it if the cycle did not converge."""
    from ase.units import Hartree

    found = [value for word in line.split() if (value := numbers(word, 1)) is not None]
    step.energy = step.free_energy = found[0][0] * Hartree
    if "not fully converged" in line:
        step.unconverged = '"not fully converged"'


def _orca_forces(rows: list[str], where: str) -> list[list[float]]:
    from ase.units import Bohr, Hartree

    found = [numbers(row, 3) for row in rows]
    if None in found:
        raise DataError(problem(where, "has other than three numbers for the gradient of an atom"))
    return [[-one * Hartree / Bohr for one in row] for row in found if row is not None]
