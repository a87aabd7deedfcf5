"""FHI-aims: single points, relaxations and molecular dynamics.

ASE's reader is not used: it makes arrays of the numbers of k-points, states and spins that the file states, and refuses
all frames if the last one did not end well.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, TextIO

from equipot.data._outputs._step import Step, cut_off, ended, numbers, table
from equipot.errors import DataError, problem

if TYPE_CHECKING:
    from ase import Atoms

_SPECIES = re.compile(r"^\s*\|\s*\d+:\s+Species\s+(\S+)\s")
_BEFORE = "Updated atomic structure:"
"""The geometry of the results that follow, in relaxations."""
_AFTER = (
    "Atomic structure (and velocities) as used in the preceding time step",
    "Atomic structure that was used in the preceding time step",
)
"""The geometry of the results that were printed, in molecular dynamics."""
_STRESS = ("Analytical stress tensor - Symmetrized", "Numerical stress tensor")
_CONVERGED = "Self-consistency cycle converged."
_FAILED = "SELF-CONSISTENCY CYCLE DID NOT CONVERGE"
_RESTARTS = "Self-consistency cycle not yet converged - restarting mixer"
"""Results follow all the same, and are printed once more for this geometry after the cycle has started again."""


def read_aims(text: TextIO, where: str) -> Iterator[Atoms]:
    """The geometries with energies in an output of FHI-aims.

    Args:
        text: The file.
        where: Its name, for messages.

    Raises:
        DataError: If it is cut off, or has several energies for one geometry.
    """
    first, step, failed = Step(), Step(), ""
    for line in text:
        if line.strip() == "Input geometry:":
            yield from ended(step)
            first = _input_geometry(text, where)
            step = replace(first)
        elif _BEFORE in line:
            yield from ended(step)
            step = _structure(text, first, where)
        elif any(one in line for one in _AFTER):
            step.move_to(_structure(text, first, where))
            yield from ended(step)
            step = Step()
        elif mark := next((one for one in (_CONVERGED, _FAILED, _RESTARTS) if one in line), ""):
            failed = "" if mark == _CONVERGED else f'"{mark}"'
        elif "Begin self-consistency loop: Re-initialization" in line and _RESTARTS in failed:
            geometry, step, failed = step, Step(), ""
            step.move_to(geometry)
        elif "Energy and forces in a compact form:" in line:
            _add_energy(text, step, where)
            step.unconverged = failed
        else:
            _add_derivatives(line, text, step, len(first.elements), where)
    if step.energy is not None and not step.elements:
        raise DataError(problem(where, "is cut off before the geometry of the last step", hint=cut_off()))
    yield from ended(step)


def _input_geometry(text: TextIO, where: str) -> Step:
    """Unit cell, elements and positions as they were given."""
    step = Step([], [])
    symbols, positions = [], []
    for line in text:
        if "| Unit cell:" in line:
            step.cell, step.pbc = table(text, 3, where, "unit cell"), True
        elif found := _SPECIES.match(line):
            row = numbers(line, 3)
            if row is None:
                break
            symbols.append(found[1])
            positions.append(row)
        elif symbols:
            step.elements, step.positions = symbols, positions
            return step
    raise DataError(problem(where, "is cut off in the geometry", hint=cut_off()))


def _structure(text: TextIO, first: Step, where: str) -> Step:
    """A geometry in the form of ``geometry.in``: vectors of the cell, and as many atoms as there were."""
    cell, symbols, positions = [], [], []
    for line in text:
        words = line.split()
        if words[:1] == ["lattice_vector"]:
            cell.append([float(one) for one in words[1:4]])
        elif words[:1] == ["atom"]:
            positions.append([float(one) for one in words[1:4]])
            symbols.append(words[4])
        if first.elements and len(symbols) == len(first.elements):
            return Step(symbols, positions, cell or first.cell, first.pbc)
    raise DataError(problem(where, f"is cut off: {len(symbols)} of {len(first.elements)} atoms", hint=cut_off()))


def _add_derivatives(line: str, text: TextIO, step: Step, count: int, where: str) -> None:
    """Read forces or stress if the line is their heading."""
    if "Total atomic forces" in line:
        step.forces = table(text, count, where, "forces")
    elif any(one in line for one in _STRESS):
        step.stress = _stress(text, where)


def _add_energy(text: TextIO, step: Step, where: str) -> None:
    """The electronic free energy, whose derivatives the forces are; it is printed after two other energies."""
    if step.energy is not None:
        hint = "give its last part, or convert the frames to extended XYZ"
        raise DataError(problem(where, "has several energies for one geometry", hint=hint))
    for line in text:
        if "| Electronic free energy" in line:
            step.energy = step.free_energy = float(line.split(":")[-1].split()[0])
            return
        if "|" not in line:
            break
    raise DataError(problem(where, "has no electronic free energy where it should be", hint=cut_off()))


def _stress(text: TextIO, where: str) -> list[list[float]]:
    """The rows ``|  x  xx  xy  xz  |`` of the tensor that follows."""
    rows: list[list[float]] = []
    for line in text:
        words = line.strip(" |\n").split()
        row = numbers(" ".join(words), 3)
        if row is not None and len(words) == 4 and words[0] == "xyz"[len(rows)]:
            rows.append(row)
        if len(rows) == 3:
            return rows
    raise DataError(problem(where, "is cut off in the stress", hint=cut_off()))
