"""The whole ASE step: some steps of molecular dynamics, the same on every side."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

STEPS = 5
"""Steps in one call; times are per step."""


def trajectory(batch: dict[str, np.ndarray], calculator: Any) -> Callable[[], dict[str, np.ndarray]]:
    """A function that does ``STEPS`` steps of 0.5 fs, started at 300 K.

    Each call begins with the same frame: with nearly random weights, a molecule may fly apart after a while.

    Args:
        batch: One frame.
        calculator: Of ASE.
    """
    from ase import Atoms, units
    from ase.md.verlet import VelocityVerlet

    atoms = Atoms(batch["atomic_numbers"], batch["positions"], cell=batch["cell"][0], pbc=batch["pbc"][0])
    thermal = np.sqrt(300.0 * units.kB / atoms.get_masses())[:, None]
    velocities = thermal * np.random.default_rng(3).normal(size=(len(atoms), 3))
    atoms.calc = calculator
    dynamics = VelocityVerlet(atoms, timestep=0.5 * units.fs)

    def run() -> dict[str, np.ndarray]:
        atoms.positions = batch["positions"]
        atoms.set_velocities(velocities)
        dynamics.run(STEPS)
        return {"positions": atoms.positions.copy()}

    run.steps = STEPS
    return run
