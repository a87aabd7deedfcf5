"""VASP: ``OUTCAR``, with ASE's parsers of its parts, and ``vasprun.xml``."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, BinaryIO, TextIO
from xml.etree import ElementTree as ET

import numpy as np

from equipot.data._outputs._step import Step, noted, unfinished
from equipot.errors import DataError, problem

if TYPE_CHECKING:
    from ase import Atoms

_ENERGY = "FREE ENERGIE OF THE ION-ELECTRON SYSTEM"
_ITERATION = re.compile(r"Iteration\s+\d+\(\s*(\d+)\)")
_NELM = re.compile(r"\bNELM\s*=\s*(\d+)")
_NOT_REACHED = "EDIFF was not reached"
_TRUNCATED = (3, 5)
"""Expat's numbers of "no element found" and "unclosed token": the text ended early."""
_BULKY = ("eigenvalues", "dos", "projected", "dielectricfunction")


def read_outcar(text: TextIO, where: str) -> Iterator[Atoms]:
    """The ionic steps of an ``OUTCAR``; constraints are in other files, which are not read.

    Args:
        text: The file.
        where: Its name, for messages.
    """
    from ase.io.vasp_parsers.vasp_outcar_parsers import OutcarChunkParser, OutcarHeaderParser, build_header

    head = build_header(text)
    parser = OutcarChunkParser(header=OutcarHeaderParser().build(head))
    limit = next((int(found[1]) for line in head if (found := _NELM.search(line))), None)
    first = head[-1:]  # the line of the first iteration ends the head
    while lines := _ionic_step(text):
        if _ENERGY not in "".join(lines[-5:]) or len(lines) < 5:
            if any(_ITERATION.search(line) for line in lines):
                unfinished(where)
            return
        yield noted(parser.build(lines), _unconverged([*first, *lines], limit))
        first = []


def _ionic_step(text: TextIO) -> list[str]:
    """The lines up to the energies of an ionic step, or to the end of the file."""
    lines = []
    for line in text:
        lines.append(line)
        if _ENERGY in line:
            rest = list(itertools.islice(text, 4))
            return [*lines, *rest] if len(rest) == 4 else [line for line in lines if _ENERGY not in line]
    return lines


def _unconverged(lines: list[str], limit: int | None) -> str:
    """Why an ionic step did not converge: VASP 6 says so, VASP 5 only leaves out that it did."""
    counts = [int(found[1]) for line in lines if (found := _ITERATION.search(line))]
    for line in reversed(lines):
        if "EDIFF is reached" in line:
            return ""
        if _NOT_REACHED in line or "hard stop was set" in line:
            return "the electronic loop ended before EDIFF was reached"
    if limit is not None and counts and max(counts) >= limit:
        return f"all {limit} electronic steps (NELM) passed without reaching EDIFF"
    return ""


def read_vasprun(stream: BinaryIO, where: str) -> Iterator[Atoms]:
    """The ionic steps of a ``vasprun.xml``.

    Args:
        stream: The file.
        where: Its name, for messages.

    Raises:
        DataError: If it is not one, or ends before the first step.
    """
    elements: list[str] = []
    settings: dict[str, float] = {}
    count = 0
    try:
        for _, found in ET.iterparse(stream, events=["end"]):  # noqa: S314 - expat fetches nothing and bounds entities
            if found.tag == "atominfo":
                elements = [str(row[0].text).strip() for row in found.findall("array[@name='atoms']/set/rc")]
            elif found.tag == "parameters":
                settings = _settings(found)
            elif found.tag == "calculation":
                if not elements:
                    what = "has an ionic step before the list of its atoms (atominfo)"
                    raise DataError(problem(where, what, hint="give the file as VASP wrote it"))
                yield _calculation(found, elements, settings)
                count += 1
            if found.tag == "calculation" or found.tag in _BULKY:
                found.clear()
    except ET.ParseError as error:
        if error.code not in _TRUNCATED or not count:
            raise
        unfinished(where)
    if not count:
        raise DataError(problem(where, "has no ionic step that ended"))


def _settings(parameters: Any) -> dict[str, float]:
    """The parameters that are read: those of the electronic steps, and the outer pressure in kbar."""
    named = {one.get("name", "").upper(): one.text for one in parameters.iter("i")}
    return {name: float(named[name]) for name in ("NELM", "EDIFF", "PSTRESS") if named.get(name)}


def _calculation(found: Any, elements: list[str], settings: dict[str, float]) -> Atoms:
    from ase.units import GPa

    cell = np.array(_vectors(found.find("structure/crystal/varray[@name='basis']")))
    fractions = np.array(_vectors(found.find("structure/varray[@name='positions']")))
    cycles = found.findall("scstep")
    # The energy of the whole step has PSTRESS times the volume in it, and its e_0_energy is wrong in some versions;
    # those of the cycle lack classical dispersion. So the first is corrected by the difference in the last.
    free = _energy(found, "e_fr_energy") - settings.get("PSTRESS", 0.0) * GPa / 10 * abs(np.linalg.det(cell))
    step = Step(elements, fractions @ cell, cell, pbc=True, energy=free, free_energy=free)
    if cycles:
        step.energy = free + _energy(cycles[-1], "e_0_energy") - _energy(cycles[-1], "e_fr_energy")
    if (forces := found.find("varray[@name='forces']")) is not None:
        step.forces = _vectors(forces)
    if (stress := found.find("varray[@name='stress']")) is not None:
        step.stress = -np.array(_vectors(stress)) * GPa / 10
    step.unconverged = _still_changing([_energy(one, "e_fr_energy") for one in cycles], settings)
    return step.atoms()


def _still_changing(energies: list[float], settings: dict[str, float]) -> str:
    """Why the cycle with these energies did not converge: the last of all NELM steps changed them by EDIFF or more."""
    limit, allowed = settings.get("NELM"), settings.get("EDIFF", 0.0)
    if limit is None or not len(energies) >= limit > 1 or abs(energies[-1] - energies[-2]) < allowed:
        return ""
    return f"all {limit:g} electronic steps (NELM) passed, and the last changed the energy by EDIFF or more"


def _energy(found: Any, name: str) -> float:
    return float(found.find(f"energy/i[@name='{name}']").text)


def _vectors(found: Any) -> list[list[float]]:
    return [[float(word) for word in row.text.split()] for row in found.findall("v")]
