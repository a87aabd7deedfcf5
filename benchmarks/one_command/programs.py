"""What is compared: ``equipot fit`` with its time alone, and the recipes of two peers on the same frames.

The peers get the split that ``equipot fit`` made, the same wall time (their whole process) and the same threads.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import models
import numpy as np
from data import Data
from sets import Set

PREDICT = Path(__file__).parents[1] / "pareto" / "predict.py"
SHARED = Path(__file__).with_name("shared.py")


@dataclass(frozen=True)
class Peer:
    """A recipe as its program documents it."""

    title: str
    model: models.Model
    r_max: float | None = None
    """Cutoff in Å; default: that of the set."""
    batch: int | None = None
    all_labels: bool = False
    """Whether it refuses frames without a label that others have, as the stress of isolated atoms."""


PEERS = {
    "nequip": Peer("nequip, tutorial", models.RECIPES["nequip"], all_labels=True),
    "mace": Peer("MACE, default", models.RECIPES["mace"], 5.0, 10),
}
"""Layers and widths of nequip's tutorial configs, and the defaults of ``mace_run_train``."""


BY_HAND = {
    "allegro": ["--model", "allegro"],
    "S": ["--preset", "S"],
    "M": ["--preset", "M"],
    "L": ["--preset", "L"],
}
"""What a person could have said instead: ``fit`` with an option that chooses the family or the size."""


@dataclass(frozen=True)
class Job:
    """One training."""

    data: Data
    files: dict[str, Path]
    """``train`` and the test sets."""
    work: Path
    """An empty folder."""
    minutes: float
    threads: int
    seed: int = 1
    pythons: dict[str, str] = field(default_factory=dict)
    cpu: bool = False
    """Whether the minutes are those that the processor works, on a machine that other jobs share."""


ERRORS = ("energy_mae", "energy_rmse", "forces_mae", "forces_rmse")
"""What is compared with peers, in meV/atom and meV/Å; None of a training that gave no model."""


def run_fit(job: Job, options: Sequence[str] = ()) -> dict[str, Any]:
    """``equipot fit`` on the file, and its errors on the test sets as ``equipot eval`` gives them.

    Args:
        job: What to train on, and for how long.
        options: Further ones of the command.
    """
    equipot = str(Path(sys.executable).with_name("equipot"))
    run = job.work / "run"
    words = ["fit", job.files["train"], "--minutes", job.minutes, "--seed", job.seed, "--output", run, *options]
    command = [sys.executable, SHARED, 1, *words] if job.cpu else [equipot, *words]
    seconds = _called(command, job)
    errors: dict[str, Any] = {}
    for name in job.data.tests:
        out = job.work / f"eval_{len(errors)}"
        _called([equipot, "eval", run / "model.equipot.zip", job.files[name], "--out", out], job)
        found = json.loads((out / "metrics.json").read_text(encoding="utf-8"))
        errors[name] = {
            "energy_mae": found["per_atom_energy_mae_mev"],
            "energy_rmse": found["per_atom_energy_rmse_mev"],
            "forces_mae": found.get("forces_mae_mev_per_angstrom"),
            "forces_rmse": found.get("forces_rmse_mev_per_angstrom"),
            "stress_mae": found.get("stress_mae_mev_per_angstrom3"),
        }
    text = (run / "fit.json").read_text(encoding="utf-8")
    record = json.loads(text.replace(f"{job.work.parent}/", ""))  # results name no folders of a machine
    known = {name: trivial(job.files["train"], job.files[name]) for name in job.data.tests}
    return {"seconds": seconds, "errors": errors, "trivial": known, "fit": record}


def run_peer(peer: Peer, job: Job, split: dict[str, Path]) -> dict[str, Any]:
    """A peer's recipe on the same training and validation frames.

    Args:
        peer: The recipe.
        job: What to train on, and for how long.
        split: ``train`` and ``val``.
    """
    python = job.pythons.get(peer.model.program)
    if python is None:
        raise ValueError(f"needs --python {peer.model.program}=INTERPRETER")
    if peer.all_labels:
        _leave_out_unlabelled(split["train"])
    frames = Set(job.data.title, _symbols(job), peer.r_max or job.data.r_max, peer.batch or job.data.batch, 1.0, dict)
    command = peer.model.prepare(peer.model, frames, split, job.work, python)
    seconds = _trained(command, job)
    try:
        best, epochs = peer.model.finish(job.work, python)
    except models.NoEpochError:
        return {"seconds": seconds, "epochs": 0, "errors": {name: dict.fromkeys(ERRORS) for name in job.data.tests}}
    errors = {}
    for name in job.data.tests:
        out = job.work / "predicted.npz"
        _called([python, PREDICT, peer.model.program, best, job.files[name], out], job, ours=False)
        errors[name] = _errors(job.files[name], out)
    return {"seconds": seconds, "epochs": epochs, "errors": errors}


def _leave_out_unlabelled(file: Path) -> None:
    """Write a file again without the frames that lack a label which another one has."""
    from ase.io import read, write

    frames = read(file, ":")
    known = set().union(*(atoms.calc.results for atoms in frames))
    write(file, [atoms for atoms in frames if known <= set(atoms.calc.results)])


def _symbols(job: Job) -> list[str]:
    """Elements of the set; where it does not name them, those of its files."""
    from ase.io import read

    return list(job.data.symbols) or sorted(
        {symbol for path in job.files.values() for atoms in read(path, ":") for symbol in atoms.symbols}
    )


def _trained(command: list[str], job: Job) -> float:
    """Train until the time is up; returns the seconds that it had."""
    start, cpu = time.monotonic(), 0.0
    with (job.work / "log.txt").open("w") as log:
        process = subprocess.Popen(
            command, cwd=job.work, stdout=log, stderr=log, env=_environment(job.threads, ours=False)
        )
        try:
            while process.poll() is None and (cpu if job.cpu else time.monotonic() - start) < 60 * job.minutes:
                time.sleep(0.2)
                cpu = max(cpu, models.cpu_seconds(process.pid))
            if process.poll():
                raise RuntimeError(f"the training ended with code {process.returncode}, see {job.work / 'log.txt'}")
        finally:
            process.kill()
            process.wait()
    return cpu if job.cpu else time.monotonic() - start


def _errors(test: Path, predicted: Path) -> dict[str, float]:
    from ase.io import read

    frames, found = read(test, ":"), np.load(predicted)
    energies = np.array([atoms.get_potential_energy() for atoms in frames])
    counts = np.array([len(atoms) for atoms in frames])
    off = 1e3 * (found["energies"] - energies) / counts
    forces = 1e3 * (found["forces"] - np.concatenate([atoms.get_forces() for atoms in frames]))
    found = [value for one in (off, forces) for value in (np.abs(one).mean(), np.sqrt((one**2).mean()))]
    return dict(zip(ERRORS, map(float, found), strict=True))


def trivial(train: Path, test: Path) -> dict[str, float]:
    """Errors of a predictor that knows compositions only: a least squares fit of the energies, and no forces.

    As in the report of a run, isolated atoms do not count: their energies say nothing of those in a compound.

    Args:
        train: Frames to fit.
        test: Frames to predict.

    Returns:
        ``energy_mae`` in meV/atom and, where the test frames have forces, ``forces_mae`` in meV/Å.
    """
    from ase.io import read

    known, unknown = [atoms for atoms in read(train, ":") if len(atoms) > 1], read(test, ":")
    elements = sorted({number for atoms in known for number in atoms.numbers.tolist()})

    def compositions(frames: list[Any]) -> Any:
        return np.array([[(atoms.numbers == one).mean() for one in elements] for atoms in frames])

    def energies(frames: list[Any]) -> Any:
        return np.array([atoms.get_potential_energy() / len(atoms) for atoms in frames])

    of_elements = np.linalg.lstsq(compositions(known), energies(known), rcond=None)[0]
    found = {"energy_mae": 1e3 * float(np.abs(compositions(unknown) @ of_elements - energies(unknown)).mean())}
    forces = [atoms.get_forces() for atoms in unknown if "forces" in atoms.calc.results]
    return found | ({"forces_mae": 1e3 * float(np.abs(np.concatenate(forces)).mean())} if forces else {})


def _called(command: list[Any], job: Job, *, ours: bool = True) -> float:
    """Run a command that must succeed; returns its wall or CPU time in s."""
    start, worked = time.monotonic(), sum(os.times()[2:4])
    done = subprocess.run(
        [str(word) for word in command], cwd=job.work, capture_output=True, text=True, check=False,
        env=_environment(job.threads, ours=ours),
    )  # fmt: skip
    (job.work / "commands.log").open("a").write(done.stdout + done.stderr)
    if done.returncode:
        last = [line for line in done.stderr.splitlines() if line.strip()][-1:]
        raise RuntimeError(f"{Path(str(command[0])).name} {command[1]} ended with {done.returncode}: {last}")
    return sum(os.times()[2:4]) - worked if job.cpu else time.monotonic() - start


def _environment(threads: int, *, ours: bool) -> dict[str, str]:
    kept = {key: value for key, value in os.environ.items() if ours or key != "PYTHONPATH"}
    return {**kept, "OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads), "CUDA_VISIBLE_DEVICES": ""}
