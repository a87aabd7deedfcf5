"""Time and memory of the model on this machine, measured while the report is made."""

from __future__ import annotations

import math
import resource
import statistics
import sys
import time
from typing import TYPE_CHECKING, Any

import torch

from equipot.errors import EquipotError
from equipot_fit._report._geometry import atoms_of
from equipot_fit._report._html import joined, paragraph, table
from equipot_fit._report._section import Data, NotShownError, Section

if TYPE_CHECKING:
    from ase import Atoms

    from equipot_fit._report._subject import Subject

SECONDS = 1.0
"""CPU time for the calls of one structure."""

PART = 0.1
"""Part of the time that is left for the report, if one is set."""

ENOUGH_ATOMS = 200
"""Atoms of the larger structure."""


def data(subject: Subject) -> Data:
    """Median times of a call for a frame, and for copies of it side by side."""
    frames = subject.frames()
    if not frames:
        raise NotShownError("There is no frame of several atoms to time.")
    atoms = atoms_of(sorted(frames, key=lambda one: len(one.numbers))[len(frames) // 2])
    structures = [atoms]
    if len(atoms) < ENOUGH_ATOMS // 2:
        structures.append(many(atoms))
    rows = [{"form": "eager", **timed(subject.model, one, subject.until)} for one in structures]
    if subject.run.compiled is not None and (compiled := _compiled(subject)) is not None:
        rows += [{"form": "compiled file", **timed(compiled, one, subject.until)} for one in structures]
    return {
        "rows": rows,
        "threads": torch.get_num_threads(),
        "dtype": subject.stored_model.info.model_dtype,
        "peak_mb": _peak(),
    }


def _compiled(subject: Subject) -> Any:
    from equipot.artifacts import load

    try:
        return load(subject.run.compiled)  # type: ignore[arg-type] # the caller has checked it
    except EquipotError:
        return None


def many(atoms: Atoms) -> Atoms:
    """Copies side by side: the periodic frame repeated, or the molecule on a grid 20 Å wide."""
    number = -(-ENOUGH_ATOMS // len(atoms))
    side = 1
    while side**3 < number:
        side += 1
    copy = atoms.copy()
    if not atoms.pbc.all():
        copy.set_cell(None)
        copy.pbc = False
        copy.set_cell([float(extent) + 20.0 for extent in copy.positions.max(axis=0) - copy.positions.min(axis=0)])
    repeated = copy.repeat((side, side, -(-number // side**2)))
    if not atoms.pbc.all():
        repeated.set_cell(None)
    return repeated


def timed(model: Any, atoms: Atoms, until: float = math.inf) -> Data:
    """Median time of energy and forces through the ASE calculator, with atoms that move a little at each call.

    Args:
        model: Any that the calculator takes.
        atoms: The structure.
        until: When the report must be finished, by ``time.monotonic``; a tenth of what is left is taken.
    """
    import numpy as np

    from equipot.ase import EquipotCalculator

    calculator = EquipotCalculator(model, automatic_modifiers=False)
    generator = np.random.default_rng(0)
    times: list[float] = []
    moved = atoms.copy()
    ends, limit = time.process_time() + SECONDS, time.monotonic() + PART * (until - time.monotonic())
    while len(times) < 4 or (time.process_time() < ends and time.monotonic() < limit and len(times) < 500):
        moved.positions = atoms.positions + 0.01 * generator.normal(size=atoms.positions.shape)
        begun = time.perf_counter()
        calculator.calculate(moved)
        times.append(time.perf_counter() - begun)
    median = statistics.median(times[2:])  # the first calls also prepare
    return {
        "atoms": len(atoms),
        "calls": len(times) - 2,
        "seconds": median,
        "microseconds_per_atom": 1e6 * median / len(atoms),
    }


def _peak() -> float:
    """Largest memory of this process so far, MB."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1024.0**2 if sys.platform == "darwin" else 1024.0)


def draw(data: Data) -> str:
    """A table."""
    rows = [
        (
            f"{one['atoms']} atoms, {one['form']}", 1000.0 * one["seconds"], one["microseconds_per_atom"],
            f"{0.5e-6 * 86400.0 / one['seconds']:.3g}", one["calls"],
        )
        for one in data["rows"]
    ]  # fmt: skip
    header = ("structure", "ms per call", "µs per atom", "ns per day at 0.5 fs", "calls")
    about = (
        f"Energy and forces through the ASE calculator, median of the calls, {data['threads']} CPU thread"
        f"{'s' * (data['threads'] != 1)}, {data['dtype']}; atoms move at random by 0.01 Å between calls. Measured "
        "while this report was made, together with all else that the machine did then. Peak memory of the process: "
        f"{data['peak_mb']:.0f} MB, with data, pictures and libraries."
    )
    return joined([paragraph(about), table(header, rows)])


SECTION = Section("speed", "Speed and memory", data, draw, can_wait=True)
