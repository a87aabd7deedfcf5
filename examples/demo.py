"""The whole road on real data: one command from labelled frames to a potential and a report, then relaxation and MD.

Run it with ``make demo``. Everything it makes goes to ``demo_output/``; open ``run/report.html`` there.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from ase import units
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import read, write
from ase.md.velocitydistribution import Stationary, ZeroRotation, thermalize_momenta
from ase.md.verlet import VelocityVerlet
from ase.optimize import BFGS

ROOT = Path(__file__).resolve().parent.parent
DATA = Path("examples/data/ethanol_pbe.extxyz")
ISOLATED = Path("examples/data/ethanol_pbe_isolated_atoms.extxyz")
MD_STEPS, TIMESTEP_FS = 2000, 0.5
MARKER = ".made-by-the-demo"
"""File that says a folder may be replaced."""


def command(title: str, *words: str) -> None:
    """Show and run one command of this environment.

    Args:
        title: What it does.
        *words: The command and its arguments.
    """
    print(f"\n== {title}\n$ {' '.join(words)}", flush=True)
    executable = Path(sys.executable).with_name(words[0])
    subprocess.run([str(executable), *words[1:]], cwd=ROOT, check=True)


def relax(calculator: object, out: Path) -> None:
    """Relax the first frame of the data set, and write it."""
    atoms = read(ROOT / DATA, "0")
    atoms.calc = calculator
    optimizer = BFGS(atoms, logfile=str(out / "relaxation.log"))
    optimizer.run(fmax=0.01, steps=300)
    largest = float(np.linalg.norm(atoms.get_forces(), axis=1).max())
    write(out / "relaxed.extxyz", atoms)
    print(f"relaxation: {optimizer.nsteps} steps, largest force {largest:.4f} eV/Å")


def molecular_dynamics(calculator: object, out: Path) -> None:
    """NVE from the relaxed molecule at 300 K; says the drift of the total energy and the time of a step."""
    atoms = read(out / "relaxed.extxyz")
    atoms.calc = calculator
    thermalize_momenta(atoms, 300, rng=np.random.default_rng(1))
    Stationary(atoms)
    ZeroRotation(atoms)
    dynamics = VelocityVerlet(atoms, timestep=TIMESTEP_FS * units.fs)
    times, energies, frames = [], [], []

    def record() -> None:
        times.append(dynamics.nsteps * TIMESTEP_FS / 1000.0)
        energies.append(atoms.get_total_energy() / len(atoms) * 1000.0)
        frame = atoms.copy()
        frame.calc = SinglePointCalculator(frame, energy=atoms.get_potential_energy())
        frames.append(frame)

    dynamics.attach(record, interval=10)
    start = time.perf_counter()
    dynamics.run(MD_STEPS)
    each = 1000.0 * (time.perf_counter() - start) / MD_STEPS
    write(out / "md.extxyz", frames)
    drift = float(np.polyfit(times, energies, 1)[0])
    print(f"NVE, {MD_STEPS} steps of {TIMESTEP_FS} fs: drift {drift:+.4f} meV/atom/ps, {each:.2f} ms for a step")


def compare(run: Path) -> None:
    """Say the errors next to those of a predictor that knows no structure."""
    report: dict[str, Any] = json.loads((run / "report.json").read_text(encoding="utf-8"))
    for name in report["errors"]["headline"]:
        one = report["errors"]["sets"][name]
        for found in one["quantities"].values():
            line = f"{name}, {one['frames']} frames: {found['title']} MAE {found['mae']:.3g} {found['unit']}"
            print(f"{line}; without any model {found['trivial_mae']:.3g}")


def main() -> int:
    """Fit, then use the potential."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=3.0, help="for the fit (default %(default)s)")
    parser.add_argument("--output", type=Path, default=Path("demo_output"), help="folder for results")
    options = parser.parse_args()
    out = ROOT / options.output
    if out.exists() and not (out / MARKER).exists():
        parser.error(f"--output: {out} exists and was not made by the demo; name another folder")
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    (out / MARKER).touch()
    run = options.output / "run"
    fit = ["equipot", "fit", str(DATA), str(ISOLATED), "--minutes", f"{options.minutes:g}", "--output", str(run)]
    command("From frames of ethanol (PBE) to a potential", *fit)
    package = str(run / "model.equipot.zip")
    command("Replay the golden frames of the package", "equipot", "package", "verify", package)
    from equipot.ase import EquipotCalculator

    print("\n== Relax a molecule and run NVE molecular dynamics", flush=True)
    calculator = EquipotCalculator(ROOT / package)
    relax(calculator, out)
    molecular_dynamics(calculator, out)
    print("\n== What came out", flush=True)
    compare(ROOT / run)
    print(f"\nOpen {run / 'report.html'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
