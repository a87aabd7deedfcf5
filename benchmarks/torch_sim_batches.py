"""Relaxations and dynamics of 100 small crystals at once in torch-sim, and one by one through ASE.

`python benchmarks/torch_sim_batches.py --out docs/results/engines/torch_sim_batches.json`: both sides use the same
model and the same skin; each round runs both, one after the other, and ratios are taken round by round.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import itertools
import statistics
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ase import Atoms, units
from ase.build import bulk
from ase.md.langevin import Langevin
from ase.optimize import FIRE

from equipot.ase import EquipotCalculator
from equipot.files import write_json
from equipot.model import NequIPGNNModel, apply_automatic
from equipot.pair_potentials import ZBL
from equipot_engines import TorchSimModel

warnings.filterwarnings("ignore", category=DeprecationWarning)  # torch-sim imports what torch and vesin retire
import torch_sim  # noqa: E402 - after the filter

FMAX = 0.05
"""Largest force after a relaxation, eV/Å."""
STEPS = {"relaxation": 8, "NVT": 4}
"""Most steps of each system."""
TEMPERATURE = 600.0
ELEMENTS = ("Cu", "Ag", "Au", "Pd")


def crystals(number: int) -> list[Atoms]:
    """Distorted crystals of 1 to 12 atoms, of one or two of four metals."""
    random, made = np.random.default_rng(0), []
    lattices = [("fcc", 4.0, False), ("bcc", 3.2, False), ("fcc", 4.0, True), ("bcc", 3.2, True)]
    kinds = itertools.cycle(itertools.product(lattices, [(1, 1, 1), (2, 1, 1), (3, 1, 1)]))
    for index, ((lattice, a, cubic), repeats) in zip(range(number), kinds, strict=False):
        atoms = bulk("Cu", lattice, a=a * random.uniform(0.97, 1.05), cubic=cubic).repeat(repeats)
        atoms.symbols = random.choice(random.choice(ELEMENTS, 2), len(atoms))
        atoms.rattle(0.08, seed=index)
        made.append(atoms)
    return made


def model() -> Any:
    """A small message-passing model with random weights, and a repulsion that keeps atoms apart."""
    return NequIPGNNModel(
        seed=1,
        type_names=list(ELEMENTS),
        r_max=4.5,
        model_dtype="float32",
        avg_num_neighbors=30.0,
        l_max=1,
        num_layers=2,
        num_features=16,
        per_type_energy_scales=0.2,
        pair_potential=ZBL(units="metal"),
    ).build()


def by_ase(calculator: EquipotCalculator, frames: list[Atoms], task: str) -> None:
    """Each system with the same calculator, one after the other."""
    for frame in frames:
        atoms = frame.copy()
        atoms.calc = calculator
        if task == "relaxation":
            FIRE(atoms, logfile=None).run(fmax=FMAX, steps=STEPS[task])
        else:
            random, friction = np.random.default_rng(0), 0.01 / units.fs
            dynamics = Langevin(
                atoms, 2.0 * units.fs, temperature_K=TEMPERATURE, friction=friction, fixcm=False, rng=random
            )
            dynamics.run(STEPS[task])


def by_torch_sim(torch_model: TorchSimModel, frames: list[Atoms], task: str) -> None:
    """All systems in one batch; converged ones leave it."""
    if task == "relaxation":
        converged = torch_sim.generate_force_convergence_fn(force_tol=FMAX, include_cell_forces=False)
        torch_sim.optimize(
            frames, torch_model, optimizer=torch_sim.optimizers.fire, convergence_fn=converged, max_steps=STEPS[task]
        )
    else:
        torch_sim.integrate(
            frames,
            torch_model,
            integrator=torch_sim.integrators.nvt_langevin,
            n_steps=STEPS[task],
            timestep=0.002,
            temperature=TEMPERATURE,
        )


def measure(rounds: int, *, automatic: bool) -> list[dict[str, Any]]:
    """CPU seconds of both sides, for both tasks: other programs on the machine count less than in wall time."""
    built = model()
    fast, chosen = apply_automatic(built, enabled=automatic)
    calculator = EquipotCalculator(fast, automatic_modifiers=automatic)
    torch_model = TorchSimModel(EquipotCalculator(fast, automatic_modifiers=automatic))
    frames = crystals(100)
    rows = []
    for task in STEPS:
        sides: dict[str, Callable[[list[Atoms]], None]] = {
            "ase": lambda frames, task=task: by_ase(calculator, frames, task),
            "torch_sim": lambda frames, task=task: by_torch_sim(torch_model, frames, task),
        }
        for run in sides.values():
            run(frames[:10])  # compiles what is compiled on first use
        seconds: dict[str, list[float]] = {name: [] for name in sides}
        for _ in range(rounds):
            for name, run in sides.items():
                start = time.process_time()
                run(frames)
                seconds[name].append(time.process_time() - start)
        ratios = [a / b for a, b in zip(*seconds.values(), strict=True)]
        rows.append(
            {
                "task": task,
                "modifiers": ", ".join(chosen.to_dict()) or "none",
                "cpu_seconds": {name: statistics.median(values) for name, values in seconds.items()},
                "times_faster": {"median": statistics.median(ratios), "min": min(ratios), "max": max(ratios)},
            }
        )
        print(rows[-1], flush=True)
    return rows


def main() -> None:
    """Measure with and without kernels, and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    frames = crystals(100)
    rows = [row for automatic in (False, True) for row in measure(arguments.rounds, automatic=automatic)]
    found = {
        "title": "100 small crystals: all at once in torch-sim, and one by one through ASE",
        "n_atoms": {"sum": sum(map(len, frames)), "min": min(map(len, frames)), "max": max(map(len, frames))},
        "steps": STEPS,
        "rounds": arguments.rounds,
        "threads": torch.get_num_threads(),
        "rows": rows,
        "versions": {name: importlib.metadata.version(name) for name in ("torch", "torch-sim-atomistic", "ase")},
    }
    if arguments.out is not None:
        write_json(arguments.out, found)


if __name__ == "__main__":
    main()
