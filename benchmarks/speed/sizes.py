"""Memory per edge (a slope over sizes), time per atom from small to large, and two threads against one."""

from __future__ import annotations

import json
import subprocess
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import systems
from cases import CASES, Case
from compare import Settings
from interleave import HERE, environment

PEER, SMALL, LARGE = (192, 384, 576), (192, 384, 768, 1536), (768, 1536, 3072, 6144)
MEMORY_MODES: dict[str, tuple[int, ...]] = {
    "nequip/eager": PEER,
    "nequip/aoti": SMALL,
    "nequip/train": PEER,
    "equipot/core": SMALL,
    "equipot/core-aoti": SMALL,
    "equipot/core-train": SMALL[:3],
    "equipot/fused": LARGE,
    "equipot/fused-aoti": LARGE,
    "equipot/fused-train": SMALL,
    "equipot/default": LARGE[:3],
    "equipot/default-train": SMALL,
    "equipot/splines": LARGE,
    "equipot/splines-aoti": LARGE,
    "equipot/splines-train": LARGE[:3],
}
"""Sizes in atoms for each mode: where memory is small, larger systems tell it better.

The peer's Allegro needs 10 GB for 1536."""

GIB = 1024**3


class Runner:
    """Runs modes of one case in processes of their own."""

    def __init__(self, case: Case, settings: Settings) -> None:
        self.settings = settings
        self.folder = settings.work / f"{case.name}_sizes"
        self.folder.mkdir(parents=True, exist_ok=True)
        self.case_file = self.folder / "case.json"
        self.case = case
        self.case_file.write_text(json.dumps({**asdict(case), "hyperparameters": case.hyperparameters}))

    def run(self, key: str, atoms: int, *, calls: int = 3, threads: int = 1) -> dict[str, Any]:
        """Memory and times of ``side/mode`` for a box of water."""
        side, mode = key.split("/")
        batch = self.folder / f"water_{atoms}.npz"
        counts = systems.lattice(atoms)
        options = self.case.hyperparameters
        sizes = systems.write(batch, [systems.water(counts)], options["type_names"], options["r_max"])
        python = self.settings.ours_python if side == "equipot" else self.settings.peer_python
        command = [python, HERE / "one_process.py", side, self.case_file, batch, self.folder, mode, calls]
        done = subprocess.run(
            [str(part) for part in command],
            capture_output=True,
            text=True,
            check=False,
            cwd=HERE,
            env=environment(threads, self.settings.allocator, str(python)),
        )
        batch.unlink()
        answers = [line for line in done.stdout.splitlines() if line.startswith("@")]
        if not answers:
            reason = (done.stderr.strip().splitlines() or [f"ended with code {done.returncode}"])[-1]
            return {"failed": reason, **sizes}
        return {**json.loads(answers[-1][1:]), **sizes}


def memory(case_name: str, settings: Settings, modes: list[str] | None = None) -> dict[str, Any]:
    """Peak memory per edge: the slope of the peak over four sizes, each in a process of its own."""
    runner = Runner(CASES[case_name], replace(settings, allocator="default"))
    found: dict[str, Any] = {}
    print(f"\n{case_name}: memory, {settings.threads} thread, allocator as it is")
    for key in modes or MEMORY_MODES:
        if key.startswith("nequip/") and not settings.peer_python:
            continue
        rows = [runner.run(key, atoms, calls=1) for atoms in MEMORY_MODES[key]]
        if any("failed" in row for row in rows):
            print(f"  {key:24s} left out: {next(row['failed'] for row in rows if 'failed' in row)}")
            continue
        edges, peaks = [row["edges"] for row in rows], [row["peak_mb"] for row in rows]
        slope, offset = np.polyfit(edges, peaks, 1)
        worst = max(abs(slope * e + offset - p) for e, p in zip(edges, peaks, strict=True))
        largest = 24 * GIB / (slope * 1024**2) / (edges[-1] / rows[-1]["atoms"])
        found[key] = {
            "kb_per_edge": 1024 * slope,
            "largest_deviation_mb": worst,
            "extrapolated_atoms_in_24_gib": largest,
            "rows": rows,
        }
        print(
            f"  {key:24s} {1024 * slope:7.2f} kB/edge (line fits within {worst:.1f} MB), "
            f"24 GiB would hold {largest / 1000:.0f} thousand atoms (extrapolated)"
        )
    return found


def scaling(case_name: str, settings: Settings, modes: list[str], sizes: list[int]) -> dict[str, Any]:
    """Time per atom over sizes, and two threads against one (best of ten)."""
    runner = Runner(CASES[case_name], settings)
    found: dict[str, Any] = {}
    for key in modes:
        print(f"\n{case_name}, {key}: time of one call")
        rows = []
        for atoms in sizes:
            row = runner.run(key, atoms, calls=5 if atoms < 20_000 else 2)
            rows.append(row)
            if "failed" in row:
                print(f"  {row['atoms']:7d} atoms: {row['failed']}")
                continue
            best = min(cpu for cpu, _ in row["times_ms"])
            print(
                f"  {row['atoms']:7d} atoms, {row['edges']:9d} edges: {best:9.1f} ms, "
                f"{1e3 * best / row['atoms']:6.1f} µs/atom, peak {row['peak_mb']:.0f} MB",
                flush=True,
            )
        found[key] = {"sizes": rows, "threads": _threads(runner, key)}
    return found


def _threads(runner: Runner, key: str) -> dict[str, Any]:
    best = {1: float("inf"), 2: float("inf")}
    for _ in range(2):
        for threads, so_far in best.items():
            row = runner.run(key, 1536, calls=5, threads=threads)
            if "failed" in row:
                return {}
            best[threads] = min(so_far, *(wall for _, wall in row["times_ms"]))
    print(f"  two threads: {best[1] / best[2]:.2f} times one (wall time, best of 10, 1536 atoms)")
    return {"best_ms": best, "ratio": best[1] / best[2]}
