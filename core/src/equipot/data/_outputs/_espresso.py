"""Quantum ESPRESSO: what ``pw.x`` prints, with ASE's reader of geometries, forces and stress."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, TextIO

from equipot.data._outputs._step import cut_off, noted
from equipot.errors import DataError, problem

if TYPE_CHECKING:
    from ase import Atoms

_GEOMETRIES = ("Program PWSCF", "ATOMIC_POSITIONS")
"""Lines that ASE takes for the beginning of a frame."""
_ENERGY = re.compile(r"^!!?\s+total energy\s+=\s+(\S+)\s+Ry")
_FAILED = "convergence NOT achieved"
_RESULTS = ("energy", "forces", "stress")


class _Lines:
    """A file whose lines are known already."""

    def __init__(self, lines: list[str]) -> None:
        self._lines = lines

    def readlines(self) -> list[str]:
        return self._lines


def read_espresso(text: TextIO, where: str, *, results_required: bool = True) -> Iterator[Atoms]:
    """The geometries of an output of ``pw.x``.

    Args:
        text: The file.
        where: Its name, for messages.
        results_required: Leave out geometries without energy, forces and stress, such as the last one of a
            relaxation, which is printed twice.

    Raises:
        DataError: If it is cut off in the forces.
    """
    from ase.io.espresso import read_espresso_out

    lines = text.readlines()
    exact_exchange = any("EXX" in line for line in lines)
    starts = [index for index, line in enumerate(lines) for mark in _GEOMETRIES if mark in line]
    images = read_espresso_out(_Lines(lines), slice(None), results_required=False)
    for atoms, start, end in zip(images, starts, [*starts[1:], len(lines)], strict=True):
        part, results = lines[start:end], atoms.calc.results
        results["energy"] = results["free_energy"] = _last_energy(part, exact_exchange=exact_exchange)
        atoms.calc.results = {key: value for key, value in results.items() if value is not None}
        if len(atoms.calc.results.get("forces", atoms)) != len(atoms):
            raise DataError(problem(where, "is cut off in the forces", hint=cut_off()))
        failed = any(_FAILED in line for line in part)
        if results_required and all(atoms.calc.results.get(name) is None for name in _RESULTS):
            continue
        yield noted(atoms, f'"{_FAILED}"' if failed else "")


def _last_energy(lines: list[str], *, exact_exchange: bool) -> float | None:
    """The final energy in eV; with exact exchange there are several, of which ASE takes that without it."""
    from ase.io.espresso import units

    found = [one for line in lines if (one := _ENERGY.match(line))]
    if exact_exchange:
        ended = any("EXX self-consistency reached" in line or f"EXX {_FAILED}" in line for line in lines)
        found = [one for one in found if one[0].startswith("!!") and ended]
    return float(found[-1][1]) * units["Ry"] if found else None
