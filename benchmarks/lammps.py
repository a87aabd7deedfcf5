"""Time of a step of dynamics in LAMMPS on 1 and 2 MPI processes, and in ASE, with the same compiled models.

python benchmarks/lammps.py MODEL.equipot.pt2 … --output docs/results/engines/lammps_performance.json

The files are compiled for LAMMPS and have two types; their pair style is built with ``equipot lammps build``. Each time
is the least of several repeats.
"""

from __future__ import annotations

import argparse
import re
import tempfile
import time
from pathlib import Path

import ase.units
import numpy as np
from ase import Atoms
from ase.md.verlet import VelocityVerlet

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


def in_lammps(model: Path, structure: Structure, ranks: int, steps: int, repeats: int) -> float:
    """Milliseconds per step, output and neighbour lists included."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_data(folder / "a.data", structure, 2)
        script = f"""{header(structure, "metal")}read_data a.data
mass 1 1.008
mass 2 15.999
pair_style equipot
pair_coeff * * {model.resolve()} H O
velocity all create 300 1
fix move all nve
timestep 0.0002
run 2
{f"run {steps}{chr(10)}" * repeats}"""
        printed = run_script(script, folder, ranks=ranks, plugins=built_pair_style())
    times = [float(one) for one in re.findall(r"Loop time of (\S+) on", printed)][1:]
    return 1000.0 * min(times) / steps


def in_ase(model: Path, structure: Structure, steps: int, repeats: int) -> float:
    """Milliseconds per step."""
    symbols = [["H", "O"][kind] for kind in structure.types]
    atoms = Atoms(symbols, positions=structure.positions, cell=structure.cell, pbc=True)
    atoms.calc = EquipotCalculator(model, skin=2.0, allow_native=True)
    mover = VelocityVerlet(atoms, timestep=0.2 * ase.units.fs)
    mover.run(2)
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        mover.run(steps)
        times.append(time.perf_counter() - start)
    return 1000.0 * min(times) / steps


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
            structure = lattice(n)
            row = {
                "model": model.name.split(".")[0],
                "atoms": n**3,
                "ase": in_ase(model, structure, options.steps, options.repeats),
            }
            for ranks in (1, 2):
                row[f"lammps on {ranks}"] = in_lammps(model, structure, ranks, options.steps, options.repeats)
            rows.append({key: round(value, 2) if isinstance(value, float) else value for key, value in row.items()})
            print(rows[-1])
    write_json(
        options.output, {"unit": "ms per step", "steps": options.steps, "repeats": options.repeats, "rows": rows}
    )


if __name__ == "__main__":
    main()
