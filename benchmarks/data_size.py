"""Time and memory from a large extended XYZ file to the first training step.

    python benchmarks/data_size.py make big.extxyz --frames 200000
    python benchmarks/data_size.py measure big.extxyz --out big.json

``measure`` runs each case in a process of its own, reading the file with an empty cache and then again, and prints CPU
seconds, wall seconds and the largest memory of the process (MB).
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

ATOMS = 15
SPACING = 2.2
STATISTICS = ["num_neighbors_mean", "per_atom_energy_mean", "forces_rms"]


def make(path: Path, frames: int) -> None:
    """Write periodic frames of 15 atoms of H, C and O with energies, forces and stresses."""
    rng = np.random.default_rng(0)
    grid = np.stack(np.meshgrid(*[np.arange(3.0)] * 3), axis=-1).reshape(-1, 3) * SPACING
    properties = "Properties=species:S:1:pos:R:3:forces:R:3"
    with path.open("w") as file:
        for _ in range(frames):
            symbols = rng.choice(["H", "C", "O"], ATOMS)
            positions = grid[rng.permutation(len(grid))[:ATOMS]] + 0.1 * rng.normal(size=(ATOMS, 3))
            forces = rng.normal(size=(ATOMS, 3))
            stress = rng.normal(size=(3, 3)) * 0.01
            numbers = " ".join(f"{one:.8f}" for one in (stress + stress.T).ravel())
            energy = -10.0 * ATOMS + rng.normal()
            lattice = f'Lattice="{3 * SPACING:.4f} 0.0 0.0 0.0 {3 * SPACING:.4f} 0.0 0.0 0.0 {3 * SPACING:.4f}"'
            file.write(f'{ATOMS}\n{lattice} {properties} energy={energy:.8f} stress="{numbers}" pbc="T T T"\n')
            rows = np.concatenate([positions, forces], axis=1)
            file.writelines(
                f"{symbol:<2}" + "".join(f" {number:9.5f}" for number in row) + "\n"
                for symbol, row in zip(symbols, rows.tolist(), strict=True)
            )


def run(path: Path, cache: str) -> dict[str, dict[str, float]]:
    """Read, compute statistics and make the first batch; CPU and wall seconds and peak memory after each."""
    from equipot.data import ASEDataModule, CommonDataStatisticsManager
    from equipot.model._context import ModelInfo

    measured = {}

    def stage(name: str, function: Callable[[], object]) -> None:
        cpu, wall = time.process_time(), time.perf_counter()
        function()
        measured[name] = {
            "cpu_s": time.process_time() - cpu,
            "wall_s": time.perf_counter() - wall,
            "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        }

    module = ASEDataModule(
        seed=1,
        split_dataset={"file_path": str(path), "train": 0.9, "val": 0.1},
        train_dataloader={"max_atoms": 300},
        stats_manager=CommonDataStatisticsManager(),
        cache_dir=cache,
    )
    types = ("H", "C", "O")
    module.bind(ModelInfo(type_names=types, chemical_species=types, r_max=5.0, cutoffs=None, model_dtype="float32"))
    stage("read", module.setup)
    stage("census", lambda: str(module.census()))
    stage("content hash", lambda: module.dataset("train").content_hash())
    stage("statistics", lambda: module.statistics(STATISTICS))
    stage("first batch", lambda: next(iter(module.train_dataloader())))
    return measured


def main() -> None:
    """Make a file, or measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("task", choices=["make", "measure", "run"])
    parser.add_argument("file", type=Path)
    parser.add_argument("--frames", type=int, default=200_000)
    parser.add_argument("--cache", default=None)
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    if given.task == "make":
        make(given.file, given.frames)
    elif given.task == "run":
        print(json.dumps(run(given.file, given.cache)))
    else:
        found = {}
        with tempfile.TemporaryDirectory() as cache:
            for name in ("first run", "second run"):
                words = [sys.executable, __file__, "run", str(given.file), "--cache", cache]
                lines = subprocess.run(words, check=True, capture_output=True, text=True).stdout.splitlines()
                found[name] = json.loads(lines[-1])
        print(json.dumps(found, indent=1))
        if given.out is not None:
            given.out.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
