"""Quantum ESPRESSO: what ``pw.x`` prints, with ASE's reader of geometries, forces and stress."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, TextIO

from equipot.data._outputs._step import noted

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


def read_espresso(text: TextIO, *, results_required: bool = True) -> Iterator[Atoms]:
    """The geometries of an output of ``pw.x``.

    Args:
        text: The file.
        results_required: Leave out geometries without energy, forces and stress, such as the last one of a
            relaxation, which is printed twice.
    """
    from ase.io.espresso import read_espresso_out

    lines = text.readlines()
    starts = [index for index, line in enumerate(lines) for mark in _GEOMETRIES if mark in line]
    images = read_espresso_out(_Lines(lines), slice(None), results_required=False)
    for atoms, start, end in zip(images, starts, [*starts[1:], len(lines)], strict=True):
        part = lines[start:end]
        if (energy := _last_energy(part)) is not None:
            # With exact exchange there are several; ASE takes the first, which is that of another functional.
            atoms.calc.results.update(energy=energy, free_energy=energy)
        failed = any(_FAILED in line for line in part)
        if results_required and all(atoms.calc.results.get(name) is None for name in _RESULTS):
            continue
        yield noted(atoms, f'"{_FAILED}"' if failed else "")


def _last_energy(lines: list[str]) -> float | None:
    from ase.units import Rydberg

    found = [one for line in lines if (one := _ENERGY.match(line))]
    return float(found[-1][1]) * Rydberg if found else None
