"""Time of a step of dynamics in LAMMPS on 1 and 2 MPI processes, and in ASE, with the same compiled models.

python benchmarks/speed/lammps_steps.py MODEL.equipot.pt2 … --output docs/results/engines/lammps_performance.json

The files are compiled for LAMMPS and have two types; their pair style is built with ``equipot lammps build``. Each time
is the least of several repeats, in which all ways take turns: other jobs then slow all of them down. Models that
exchange features of ghosts run on 2 processes both with exchanges (``layers``) and with edges of ghosts (``shell``).
"""

from __future__ import annotations

import argparse
import re
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import ase.units
import numpy as np
from ase import Atoms
from ase.md.verlet import VelocityVerlet

from equipot.artifacts import inspect_file
from equipot.ase import EquipotCalculator
from equipot.files import write_json
from equipot_lammps._check import built_pair_style
from equipot_lammps._programs import run_script
from equipot_lammps._static import Structure, header, write_data

DISTANCE = 2.0  # Å


def lattice(n: int) -> Structure:
    """Atoms of two types near the points of a cubic lattice."""
    random = np.random.default_rng(0)
    points = np.stack(np.meshgrid(*[np.arange(n)] * 3, indexing="ij"), -1).reshape(-1, 3) * DISTANCE
    noise = random.normal(size=points.shape) * 0.05
    return Structure(points + noise, np.eye(3) * n * DISTANCE, (True,) * 3, random.integers(0, 2, n**3).tolist())


MASSES = {"H": 1.008, "O": 15.999}


def in_lammps(
    model: Path,
    structure: Structure,
    ranks: int,
    ghosts: str,
    steps: int,
    types: Sequence[str] = ("H", "O"),
    fs: float = 0.2,
) -> tuple[float, int]:
    """Milliseconds per step, output and neighbour lists included, and LAMMPS' ghosts on a process."""
    masses = "\n".join(f"mass {number} {MASSES[name]}" for number, name in enumerate(types, start=1))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_data(folder / "a.data", structure, 2)
        script = f"""{header(structure, "metal")}read_data a.data
{masses}
pair_style equipot ghosts {ghosts} allow_native yes
pair_coeff * * {model.resolve()} {" ".join(types)}
velocity all create 300 1
fix move all nve
timestep {0.001 * fs}
run 2
run {steps}
"""
        printed = run_script(script, folder, ranks=ranks, plugins=built_pair_style())
    times, counts = (re.findall(text, printed) for text in (r"Loop time of (\S+) on", r"Nghost: +(\S+) ave"))
    return 1000.0 * float(times[-1]) / steps, round(float(counts[-1]))


def in_ase(model: Path, structure: Structure, steps: int) -> float:
    """Milliseconds per step."""
    symbols = [["H", "O"][kind] for kind in structure.types]
    atoms = Atoms(symbols, positions=structure.positions, cell=structure.cell, pbc=True)
    atoms.calc = EquipotCalculator(model, skin=2.0, allow_native=True)
    mover = VelocityVerlet(atoms, timestep=0.2 * ase.units.fs)
    mover.run(2)
    start = time.perf_counter()
    mover.run(steps)
    return 1000.0 * (time.perf_counter() - start) / steps


def measure(model: Path, n: int, steps: int, repeats: int) -> dict[str, str | float]:
    """A row of the results: milliseconds per step, and ghosts on each of 2 processes."""
    structure = lattice(n)
    manifest = inspect_file(model).manifest
    exchanges = manifest is not None and manifest.compiled["metadata"]["equipot_exchanges"]
    ways = {"lammps on 1": (1, "auto"), "lammps on 2": (2, "auto")}
    if exchanges:
        ways = {"lammps on 1": (1, "auto"), "lammps on 2, layers": (2, "layers"), "lammps on 2, shell": (2, "shell")}
    row: dict[str, str | float] = {"model": model.name.split(".")[0], "atoms": n**3}
    times: dict[str, list[float]] = {}
    for _ in range(repeats):
        times.setdefault("ase", []).append(in_ase(model, structure, steps))
        for name, (ranks, ghosts) in ways.items():
            found, count = in_lammps(model, structure, ranks, ghosts, steps)
            times.setdefault(name, []).append(found)
            if ranks > 1:
                row[f"ghosts: {name}"] = count
    return row | {name: round(min(found), 2) for name, found in times.items()}


def main() -> None:
    """Measure and write the results."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("models", nargs="+", type=Path)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--sizes", nargs="+", type=int, default=[6, 10])
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    rows = []
    for model in options.models:
        for n in options.sizes:
            rows.append(measure(model, n, options.steps, options.repeats))
            print(rows[-1])
    write_json(
        options.output, {"unit": "ms per step", "steps": options.steps, "repeats": options.repeats, "rows": rows}
    )


if __name__ == "__main__":
    main()
