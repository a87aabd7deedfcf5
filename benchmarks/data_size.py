"""Time and memory from a large extended XYZ file to the first training step.

    python benchmarks/data_size.py make big.extxyz --frames 200000
    python benchmarks/data_size.py formats big.extxyz
    python benchmarks/data_size.py measure big.extxyz big.npz big.db big.aselmdb big.deepmd --out big.json

``formats`` writes the frames in the other formats, beside the file (``lmdb`` must be installed). ``measure`` runs each
case in a process of its own, reading a file with an empty cache and then again, whatever its size, and prints CPU
seconds with those of child processes, wall seconds and the largest memory of the process (MB). ``--workers`` is
``data.statistics_workers``, and ``--comments`` makes comments that differ from frame to frame.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np

ATOMS = 15
SPACING = 2.2
COMMENT = " name=structure_{0:06d} config_type=bulk_{1} config_weight={2} charge={3} step={0} energy_unit=eV\n"
STATISTICS = ["num_neighbors_mean", "per_atom_energy_mean", "forces_rms"]


def make(path: Path, frames: int, *, comments: bool) -> None:
    """Write periodic frames of 15 atoms of H, C and O with energies, forces and stresses."""
    rng = np.random.default_rng(0)
    grid = np.stack(np.meshgrid(*[np.arange(3.0)] * 3), axis=-1).reshape(-1, 3) * SPACING
    properties = "Properties=species:S:1:pos:R:3:forces:R:3"
    with path.open("w") as file:
        for index in range(frames):
            symbols = rng.choice(["H", "C", "O"], ATOMS)
            positions = grid[rng.permutation(len(grid))[:ATOMS]] + 0.1 * rng.normal(size=(ATOMS, 3))
            forces = rng.normal(size=(ATOMS, 3))
            stress = rng.normal(size=(3, 3)) * 0.01
            numbers = " ".join(f"{one:.8f}" for one in (stress + stress.T).ravel())
            energy = -10.0 * ATOMS + rng.normal()
            lattice = f'Lattice="{3 * SPACING:.4f} 0.0 0.0 0.0 {3 * SPACING:.4f} 0.0 0.0 0.0 {3 * SPACING:.4f}"'
            file.write(f'{ATOMS}\n{lattice} {properties} energy={energy:.8f} stress="{numbers}" pbc="T T T"')
            file.write(COMMENT.format(index, index % 7, 1 + index % 5 / 2, index % 3 - 1) if comments else "\n")
            rows = np.concatenate([positions, forces], axis=1)
            file.writelines(
                f"{symbol:<2}" + "".join(f" {number:9.5f}" for number in row) + "\n"
                for symbol, row in zip(symbols, rows.tolist(), strict=True)
            )


def formats(path: Path) -> None:
    """Write the frames of a file as NPZ, databases of ASE (SQLite and LMDB) and a folder of DeePMD-kit."""
    import lmdb
    from ase.db.row import AtomsRow
    from ase.io.jsonio import encode

    from equipot._cli.main import main as equipot
    from equipot.data import read_atoms

    for suffix in (".npz", ".db"):
        equipot(["data", "convert", str(path), str(path.with_suffix(suffix)), "--force"])
    frames = read_atoms(path)
    path.with_suffix(".aselmdb").unlink(missing_ok=True)
    target = str(path.with_suffix(".aselmdb"))
    with (
        lmdb.open(target, subdir=False, map_size=2**40, lock=False) as environment,
        environment.begin(write=True) as transaction,
    ):
        for number, atoms in enumerate(frames, 1):
            held = {key: value for key, value in vars(AtomsRow(atoms)).items() if not key.startswith("_")}
            held = {key: value for key, value in held.items() if key not in ("id", "calculator_parameters")}
            transaction.put(str(number).encode(), zlib.compress(encode(held).encode()))
        transaction.put(b"nextid", zlib.compress(str(len(frames) + 1).encode()))
    folder = path.with_suffix(".deepmd")
    (folder / "set.000").mkdir(parents=True, exist_ok=True)
    (folder / "type_map.raw").write_text("H C O\n")
    (folder / "type.raw").write_text("0\n" * ATOMS)
    types = {"H": 0, "C": 1, "O": 2}
    arrays = {
        "coord": [one.positions.ravel() for one in frames],
        "box": [one.cell.array.ravel() for one in frames],
        "energy": [one.get_potential_energy() for one in frames],
        "force": [one.get_forces().ravel() for one in frames],
        "virial": [-one.get_stress(voigt=False).ravel() * one.get_volume() for one in frames],
        "real_atom_types": [[types[symbol] for symbol in one.symbols] for one in frames],
    }
    for name, values in arrays.items():
        np.save(folder / "set.000" / f"{name}.npy", np.array(values))


def run(path: Path, cache: str, workers: int) -> dict[str, dict[str, float]]:
    """Read, compute statistics and make the first batch; CPU and wall seconds and peak memory after each."""
    from equipot.data import ASEDataModule, CommonDataStatisticsManager, _frames_cache
    from equipot.model._context import ModelInfo

    measured = {}
    _frames_cache.FROM_BYTES = 0

    def stage(name: str, function: Callable[[], object]) -> None:
        cpu, wall = cpu_seconds(), time.perf_counter()
        function()
        measured[name] = {
            "cpu_s": cpu_seconds() - cpu,
            "wall_s": time.perf_counter() - wall,
            "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        }

    module = ASEDataModule(
        seed=1,
        split_dataset={"file_path": str(path), "train": 0.9, "val": 0.1},
        train_dataloader={"max_atoms": 300},
        stats_manager=CommonDataStatisticsManager(),
        cache_dir=cache,
        statistics_workers=workers,
    )
    types = ("H", "C", "O")
    module.bind(ModelInfo(type_names=types, chemical_species=types, r_max=5.0, cutoffs=None, model_dtype="float32"))
    stage("read", module.setup)
    stage("census", lambda: str(module.census()))
    stage("content hash", lambda: module.dataset("train").content_hash())
    stage("statistics", lambda: module.statistics(STATISTICS))
    stage("first batch", lambda: next(iter(module.train_dataloader())))
    return measured


def cpu_seconds() -> float:
    """Of this process and of its children that have ended."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def read(path: Path) -> dict[str, float]:
    """Read the frames of a file alone: CPU seconds, and by how much the largest memory of the process grows (MB)."""
    import ase.db.sqlite
    import ase.io.extxyz  # noqa: F401 - not a part of reading

    from equipot.data import _regular
    from equipot.data._label_contract import label_contract

    cpu, memory = cpu_seconds(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    _regular.collect_files([str(path)], label_contract(None))
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory
    return {"cpu_s": cpu_seconds() - cpu, "grown_mb": grown / 1024}


def measure(path: Path, workers: int) -> dict[str, dict[str, dict[str, float]]]:
    """Both runs, each in a process of its own."""
    found = {}
    with tempfile.TemporaryDirectory() as cache:
        for name in ("first run", "second run"):
            words = [sys.executable, __file__, "run", str(path), "--cache", cache, "--workers", str(workers)]
            lines = subprocess.run(words, check=True, capture_output=True, text=True).stdout.splitlines()
            found[name] = json.loads(lines[-1])
    return found


def main() -> None:
    """Make files, or measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("task", choices=["make", "formats", "measure", "read", "run"])
    parser.add_argument("files", type=Path, nargs="+")
    parser.add_argument("--frames", type=int, default=200_000)
    parser.add_argument("--comments", action="store_true")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--cache", default=None)
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    if given.task == "make":
        make(given.files[0], given.frames, comments=given.comments)
    elif given.task == "formats":
        formats(given.files[0])
    elif given.task == "read":
        print(json.dumps(read(given.files[0])))
    elif given.task == "run":
        print(json.dumps(run(given.files[0], given.cache, given.workers)))
    else:
        found = {path.name: measure(path, given.workers) for path in given.files}
        print(json.dumps(found, indent=1))
        if given.out is not None:
            given.out.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
