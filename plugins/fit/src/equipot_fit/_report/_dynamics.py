"""Does a short run of molecular dynamics at constant energy keep its energy?"""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from equipot.errors import DataError
from equipot_fit._report._geometry import atoms_of
from equipot_fit._report._html import element, gallery, joined, paragraph
from equipot_fit._report._pictures import BLUE, panel, picture, style
from equipot_fit._report._section import Data, NotShownError, Section

if TYPE_CHECKING:
    from equipot_fit._report._subject import Subject

TEMPERATURE = 300.0
SECONDS = 2.0
"""CPU time for the steps, if no time is set for the report."""

FEWEST, MOST = 40, 300
"""Steps; more where a time is set, but at most so many are shown."""

LARGEST = 600
"""Atoms of a frame that is run."""

AFTER = 0.03
"""Part of the time that is left which the picture gets, and the end of the report."""


def data(subject: Subject) -> Data:
    """Energies along a run from the first frame of the judged sets that is small enough."""
    if "forces" not in subject.stored_model.info.outputs:
        raise NotShownError("The model has no forces, so there are no dynamics.")
    frames = [one for one in subject.frames() if len(one.numbers) <= LARGEST]
    if not frames:
        raise NotShownError(f"All frames have more than {LARGEST} atoms or a single one: too long for a report.")
    atoms = atoms_of(frames[0])
    step_fs = 0.5 if 1 in atoms.numbers else 1.0
    found = {
        "place": frames[0].place,
        "formula": atoms.get_chemical_formula(),
        "atoms": len(atoms),
        "step_fs": step_fs,
        "temperature": TEMPERATURE,
    }
    return found | run(subject.model, atoms, step_fs, subject.until)


def run(model: Any, atoms: Any, step_fs: float, until: float = math.inf) -> Data:
    """Velocity Verlet from random velocities, with a fixed seed.

    Args:
        model: With forces.
        atoms: Start; changed.
        step_fs: Time step in fs.
        until: When it ends, by ``time.monotonic``; else after some seconds.

    Raises:
        NotShownError: If steps take too long.
    """
    from ase import units
    from ase.md.velocitydistribution import MaxwellBoltzmannDistribution, Stationary
    from ase.md.verlet import VelocityVerlet

    from equipot.ase import EquipotCalculator

    atoms.calc = EquipotCalculator(model, automatic_modifiers=False)
    MaxwellBoltzmannDistribution(atoms, temperature_K=TEMPERATURE, rng=np.random.default_rng(0))
    Stationary(atoms)
    dynamics = VelocityVerlet(atoms, step_fs * units.fs)
    broken, energies, temperatures = "", [], []
    try:
        dynamics.run(1)
        for _ in _steps(dynamics, until):
            dynamics.run(1)
            energies.append(1000.0 * atoms.get_total_energy() / len(atoms))
            temperatures.append(float(atoms.get_temperature()))
    except DataError as error:
        broken = str(error)
    changes = np.array(energies) - energies[0] if energies else np.zeros(0)
    times = np.arange(len(changes)) * step_fs
    shown = np.arange(0, len(changes), max(-(-len(changes) // MOST), 1))
    drift = float(np.polyfit(times / 1000.0, changes, 1)[0]) if len(changes) > 2 else None
    return {
        "broken": broken, "steps": len(changes), "time_fs": times[shown].tolist(),
        "change_mev": changes[shown].round(5).tolist(),
        "drift_mev_per_ps": drift, "largest_change_mev": float(np.abs(changes).max()) if len(changes) else None,
        "mean_temperature": float(np.mean(temperatures)) if temperatures else None,
    }  # fmt: skip


def _steps(dynamics: Any, until: float) -> Iterator[int]:
    """Numbers of the steps for which there is time."""
    begun, worked = time.monotonic(), time.process_time()
    dynamics.run(3)
    each, clock = (time.process_time() - worked) / 3.0, (time.monotonic() - begun) / 3.0
    if math.isinf(until):
        steps = int(min(MOST, SECONDS / max(1e-9, each)))
        if steps < FEWEST:
            raise NotShownError(f"{FEWEST} steps of {dynamics.atoms.symbols} take more than {SECONDS:g} s of CPU time.")
        yield from range(steps)
        return
    ends = until - AFTER * (until - begun) - clock
    if begun + (FEWEST + 4) * clock > ends:
        raise NotShownError(f"There was no time left for {FEWEST} steps; equipot report has them.")
    yield from itertools.takewhile(lambda _: time.monotonic() < ends, itertools.count())


def draw(data: Data) -> str:
    """A curve, and what it means."""
    parts: list[object] = []
    if data["broken"]:
        parts.append(
            element("p", f"The dynamics broke off after {data['steps']} steps: {data['broken']}", class_="warning")
        )
    if data["steps"] > 2:
        drift, largest = data["drift_mev_per_ps"], data["largest_change_mev"]
        parts.append(
            paragraph(
                f"{data['steps']} steps of {data['step_fs']:g} fs from {data['place']} ({data['formula']}), with "
                f"velocities drawn at {data['temperature']:g} K, without a thermostat. Drift of the total energy: "
                f"{drift:.3g} meV/atom per ps; largest change: {largest:.3g} meV/atom; mean temperature: "
                f"{data['mean_temperature']:.0f} K. So short a run finds broken forces and instabilities at once, not "
                "slow ones."
            )
        )
        with style():
            figure, axes = panel()
            axes.plot(data["time_fs"], data["change_mev"], color=BLUE)
            axes.axhline(0.0, color="#222222", linewidth=0.7)
            axes.set_xlabel("time, fs")
            axes.set_ylabel("change of total energy, meV/atom")
            axes.set_title(f"constant energy, {data['formula']}")
            parts.append(
                gallery(
                    [
                        picture(
                            figure,
                            f"Total energy along {data['steps']} steps: it changes by at most {largest:.3g} meV/atom",
                        )
                    ]
                )
            )
    return joined(parts)


SECTION = Section("dynamics", "Molecular dynamics at constant energy", data, draw, can_wait=True, fills_time=True)
