"""The whole road on real data: train, package, compile, evaluate, relax, run MD, plot.

Run it with ``make demo``. Everything it makes goes to ``demo_output/``; open ``summary.html``.
"""

from __future__ import annotations

import argparse
import json
import resource
import shutil
import subprocess
import sys
import time
from pathlib import Path

import demo_report
import numpy as np
from ase import units
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import read, write
from ase.md.velocitydistribution import Stationary, ZeroRotation, thermalize_momenta
from ase.md.verlet import VelocityVerlet
from ase.optimize import BFGS

ROOT = Path(__file__).resolve().parent.parent
DATA = Path("examples/data/ethanol_pbe.extxyz")
MD_STEPS = 2000
MARKER = ".made-by-the-demo"
"""File that says a folder may be replaced."""
TIMESTEP_FS = 0.5


def command(title: str, *words: str) -> float:
    """Show and run one command of this environment.

    Args:
        title: What it does.
        *words: The command and its arguments.

    Returns:
        Wall time in s.
    """
    print(f"\n== {title}\n$ {' '.join(words)}", flush=True)
    start = time.perf_counter()
    executable = Path(sys.executable).with_name(words[0])
    subprocess.run([str(executable), *words[1:]], cwd=ROOT, check=True)
    return time.perf_counter() - start


def write_test_frames(run_dir: Path) -> Path:
    """Collect the frames that the run kept for the test.

    Returns:
        The file, relative to the project's folder.
    """
    splits = json.loads((ROOT / run_dir / "splits.json").read_text(encoding="utf-8"))
    frames = read(ROOT / DATA, ":")
    path = run_dir / "test.extxyz"
    write(ROOT / path, [frames[index] for index in splits["test"]])
    return path


def relax(calculator: object, out: Path) -> dict[str, float]:
    """Relax the first frame of the data set.

    Returns:
        Steps taken and the largest force left, eV/Å.
    """
    atoms = read(ROOT / DATA, "0")
    atoms.calc = calculator
    optimizer = BFGS(atoms, logfile=str(out / "relaxation.log"))
    converged = optimizer.run(fmax=0.01, steps=300)
    largest = float(np.linalg.norm(atoms.get_forces(), axis=1).max())
    write(out / "relaxed.extxyz", atoms)
    return {"steps": optimizer.nsteps, "largest_force": largest, "converged": bool(converged)}


def molecular_dynamics(calculator: object, out: Path) -> dict[str, object]:
    """NVE from the relaxed molecule at 300 K.

    Returns:
        Energies over time, the drift in meV/atom/ps and the time per step.
    """
    atoms = read(out / "relaxed.extxyz")
    atoms.calc = calculator
    rng = np.random.default_rng(1)
    thermalize_momenta(atoms, 300, rng=rng)
    Stationary(atoms)
    ZeroRotation(atoms)
    dynamics = VelocityVerlet(atoms, timestep=TIMESTEP_FS * units.fs)
    times: list[float] = []
    energies: list[float] = []
    frames = []

    def record() -> None:
        times.append(dynamics.nsteps * TIMESTEP_FS / 1000.0)
        energies.append(atoms.get_total_energy() / len(atoms) * 1000.0)
        frame = atoms.copy()
        frame.calc = SinglePointCalculator(frame, energy=atoms.get_potential_energy())
        frames.append(frame)

    dynamics.attach(record, interval=10)
    start = time.perf_counter()
    dynamics.run(MD_STEPS)
    seconds = time.perf_counter() - start
    write(out / "md.extxyz", frames)
    drift = float(np.polyfit(times, energies, 1)[0])
    return {
        "times_ps": times,
        "energies": energies,
        "drift": drift,
        "fluctuation": float(np.std(energies)),
        "ms_per_step": 1000.0 * seconds / MD_STEPS,
    }


def main() -> int:
    """Run all stages and write the summary."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=60, help="training epochs (default %(default)s)")
    parser.add_argument("--output", type=Path, default=Path("demo_output"), help="folder for results")
    options = parser.parse_args()
    out = ROOT / options.output
    if out.exists() and not (out / MARKER).exists():
        parser.error(f"--output: {out} exists and was not made by the demo; name another folder")
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    (out / MARKER).touch()
    run_dir, package, compiled = (
        options.output / "run",
        options.output / "ethanol.equipot.zip",
        options.output / "ethanol.equipot.pt2",
    )
    seconds = {}
    seconds["train"] = command(
        "Train NequIP with ZBL on ethanol (PBE)",
        "equipot-train",
        "examples/ethanol.yaml",
        f"trainer.max_epochs={options.epochs}",
        "training_module.model.num_layers=2",
        "--output",
        str(run_dir),
    )
    checkpoint = str(run_dir / "best.ckpt")
    seconds["package"] = command("Package", "equipot-package", "build", checkpoint, str(package))
    seconds["verify"] = command("Replay the package's golden frames", "equipot-package", "verify", str(package))
    seconds["compile"] = command("Compile", "equipot-compile", str(package), str(compiled), "--mode", "aotinductor")
    seconds["evaluate"] = command(
        "Evaluate on the test frames, with parity plot",
        "equipot",
        "eval",
        str(compiled),
        str(write_test_frames(run_dir)),
        "--out",
        str(options.output),
    )
    from equipot.ase import EquipotCalculator

    calculator = EquipotCalculator(ROOT / compiled)
    print("\n== Relax and run NVE molecular dynamics with the compiled model", flush=True)
    start = time.perf_counter()
    relaxation = relax(calculator, out)
    dynamics = molecular_dynamics(calculator, out)
    seconds["relax and MD"] = time.perf_counter() - start
    print(f"relaxation: {relaxation['steps']} steps, largest force {relaxation['largest_force']:.4f} eV/Å")
    print(
        f"NVE, {MD_STEPS} steps of {TIMESTEP_FS} fs: energy drift {dynamics['drift']:+.4f} meV/atom/ps, "
        f"{dynamics['ms_per_step']:.2f} ms/step"
    )
    metrics = json.loads((out / "metrics.json").read_text(encoding="utf-8"))
    peak = max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)) / 1024
    splits = json.loads((ROOT / run_dir / "splits.json").read_text(encoding="utf-8"))
    demo_report.write(
        out,
        metrics=metrics,
        relaxation=relaxation,
        dynamics=dynamics,
        seconds=seconds,
        peak_mib=peak,
        n_train=len(splits["train"]),
    )
    print(
        f"\nDone in {sum(seconds.values()):.0f} s, peak memory {peak:.0f} MiB. Open {options.output / 'summary.html'}"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
