"""From a checkpoint to the first step of molecular dynamics, with empty caches and again.

    python start.py SCENARIO FILE      (what ``python benchmarks/speed start`` runs as processes of their own)

Times are taken after the imports; process start and imports are reported next to them.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from cases import CASES

MODIFIERS = {"core": [], "fused": ["enable_FusedKernels"], "splines": ["enable_RadialSplines", "enable_FusedKernels"]}


def checkpoint(case_name: str, path: Path) -> None:
    """A checkpoint as training writes it, with initial weights."""
    import torch

    import equipot.model
    from equipot.artifacts._checkpoint import checkpoint_record

    case = CASES[case_name]
    builder = {"nequip": "NequIPGNNModel", "allegro": "AllegroModel"}[case.model]
    model = getattr(equipot.model, builder)(**case.hyperparameters).build()
    state = {f"model.{key}": value for key, value in model.state_dict().items()}
    torch.save({"state_dict": state, "equipot": checkpoint_record(model, "raw", {"run": ["train"]}, {})}, path)


def one_start(scenario: str, file: Path) -> dict[str, float]:
    """Times in seconds of one start; ``scenario`` is VARIANT-jit, VARIANT-compile or VARIANT-compiled."""
    import_start = time.perf_counter()
    import systems
    import torch
    from ase import units
    from ase.md.verlet import VelocityVerlet

    import equipot.ase
    import equipot.compile._aotinductor
    import equipot.model

    torch.set_num_threads(1)
    imports = time.perf_counter() - import_start
    variant, _, how = scenario.partition("-")
    start, cpu = time.perf_counter(), _cpu_seconds()
    compiled = file.with_name(f"{variant}.equipot.pt2")
    model: Any = compiled
    if how != "compiled":
        model = equipot.artifacts.load_model(file)
        for name in MODIFIERS[variant]:
            model = equipot.model.apply_modifier(model, name)
    if how == "compile":
        equipot.compile.compile_model(model, compiled)
        model = compiled
    atoms = systems.water()
    atoms.calc = equipot.ase.EquipotCalculator(model)
    VelocityVerlet(atoms, timestep=0.5 * units.fs).run(1)
    return {"imports": imports, "first_step": time.perf_counter() - start, "cpu": _cpu_seconds() - cpu}


def _cpu_seconds() -> float:
    """Of this process and of the compilers it started."""
    return sum(os.times()[:4])


def measure(case_name: str, variants: list[str]) -> dict[str, Any]:
    """All scenarios, each cold (empty caches) and again."""
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "model.ckpt"
        checkpoint(case_name, file)
        for variant in variants:
            for how in ("jit", "compile", "compiled"):
                scenario = f"{variant}-{how}"
                environment = {**os.environ, "OMP_NUM_THREADS": "1"}
                for name in ("EQUIPOT_CACHE_DIR", "TORCHINDUCTOR_CACHE_DIR"):
                    made_with = "compile" if how == "compiled" else how
                    environment[name] = str(Path(folder, f"{variant}-{made_with}-{name}"))
                for turn in ("first", "again"):
                    if how == "compile" and turn == "again":
                        continue
                    found[f"{scenario}, {turn}"] = row = _process(scenario, file, environment)
                    shown = row.get("failed") or (
                        f"{row['first_step']:6.2f} s after imports (CPU {row['cpu']:.2f} s); "
                        f"process start and imports {row['before']:.2f} s"
                    )
                    print(f"  {scenario + ', ' + turn:28s} {shown}", flush=True)
    return found


def _process(scenario: str, file: Path, environment: dict[str, str]) -> dict[str, Any]:
    start = time.perf_counter()
    done = subprocess.run(
        [sys.executable, __file__, scenario, str(file)], capture_output=True, text=True, check=False, env=environment
    )
    total = time.perf_counter() - start
    answers = [line for line in done.stdout.splitlines() if line.startswith("@")]
    if not answers:
        return {"failed": (done.stderr.strip().splitlines() or ["no output"])[-1]}
    row = json.loads(answers[-1][1:])
    return {**row, "before": total - row["first_step"], "process": total}


if __name__ == "__main__":
    print("@" + json.dumps(one_start(sys.argv[1], Path(sys.argv[2]))))
