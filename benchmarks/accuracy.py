"""Train on a labelled set for a stated time and store the errors for the docs.

    python benchmarks/accuracy.py CASE [--minutes N] [--peer-python PYTHON]

Cases that start with ``examples_`` use the project's own data; the others read public sets from the
folder in ``EQUIPOT_EXTRA_DATA``. Results go to ``docs/results/CASE.json``.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import platform
import shlex
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from ase.calculators.calculator import all_changes
from ase.io import read, write

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "docs" / "results"


@dataclass(frozen=True)
class Case:
    """One row of the accuracy page."""

    title: str
    description: str
    models: dict[str, str]
    """Label and config of each model; all get the same data and the same time."""
    minutes: float
    overrides: tuple[str, ...] = ()
    splits: str | None = None
    """Name of the function that writes train, val and test files; None: the config's own data."""
    published: dict[str, tuple[str, str, str]] = field(default_factory=dict)
    """Published errors: energy (as in the source), force, stress or an empty string."""


def _extra(name: str) -> Any:
    folder = os.environ.get("EQUIPOT_EXTRA_DATA")
    if not folder:
        sys.exit("accuracy: set EQUIPOT_EXTRA_DATA to the folder with the public data sets")
    spec = importlib.util.spec_from_file_location("extra_loaders", Path(folder) / "loaders.py")
    if spec is None or spec.loader is None:
        sys.exit(f"accuracy: {folder} has no loaders.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return getattr(module, name)


def _rmd17_ethanol(n_train: int, n_val: int) -> dict[str, list[Any]]:
    read = _extra("rmd17")
    frames = read("ethanol", "train")
    order = np.random.default_rng(1).permutation(len(frames))[: n_train + n_val]
    chosen = [frames[index] for index in order]
    return {"train": chosen[:n_train], "val": chosen[n_train:], "test": read("ethanol", "test")}


def _silicon(fraction: float = 0.1) -> dict[str, list[Any]]:
    read = _extra("mlearn")
    frames = read("Si", "training")
    order = np.random.default_rng(1).permutation(len(frames))
    n_val = round(fraction * len(frames))
    return {
        "train": [frames[index] for index in order[n_val:]],
        "val": [frames[index] for index in order[:n_val]],
        "test": read("Si", "test"),
    }


SPLITS = {
    "rmd17_ethanol_50": lambda: _rmd17_ethanol(40, 10),
    "rmd17_ethanol_950": lambda: _rmd17_ethanol(950, 50),
    "mlearn_si": _silicon,
}

CASES = {
    "examples_ethanol": Case(
        "Ethanol (ours, PBE/def2-SVP)",
        "130 training and 20 validation frames; 30 test frames.",
        {"NequIP-like": "examples/ethanol.yaml", "Allegro-like": "examples/ethanol_allegro.yaml"},
        3.5,
    ),
    "examples_water": Case(
        "Water (ours, GFN1-xTB, periodic, with stress)",
        "Energies, forces and stress; 80 % training, 10 % validation, 10 % test. Frames of one short MD run "
        "are correlated.",
        {"NequIP-like": "examples/water.yaml", "Allegro-like": "examples/water_allegro.yaml"},
        3.5,
    ),
    "examples_energy_only": Case(
        "Ethanol, energies alone (ours)",
        "The frames of the first row without any force.",
        {"equipot": "examples/ethanol_energy_only.yaml"},
        4,
    ),
    "rmd17_ethanol_50": Case(
        "rMD17 ethanol, 50 frames",
        "40 training and 10 validation frames of the published split 1; all 1000 test frames. "
        "Published rows use 50 frames in all and much longer training.",
        {"equipot": "benchmarks/configs/rmd17.yaml"},
        5,
        overrides=("data.val_dataloader.batch_size=10",),
        splits="rmd17_ethanol_50",
        published={"NequIP": ("8.7 meV", "40.2", ""), "MACE": ("6.7 meV", "32.6", ""), "ACE": ("8.6 meV", "43.0", "")},
    ),
    "rmd17_ethanol_950": Case(
        "rMD17 ethanol, 950 frames",
        "950 training and 50 validation frames of the published split 1; all 1000 test frames. "
        "Published rows were trained to convergence.",
        {"equipot": "benchmarks/configs/rmd17.yaml"},
        10,
        overrides=("training_module.lr_scheduler.scheduler.patience=3",),
        splits="rmd17_ethanol_950",
        published={
            "NequIP": ("0.4 meV", "2.8", ""),
            "Allegro": ("0.4 meV", "2.1", ""),
            "MACE": ("0.4 meV", "2.1", ""),
            "ACE": ("1.2 meV", "7.3", ""),
        },
    ),
    "mlearn_si": Case(
        "mlearn Si, with stress",
        "90 % of the published training frames for training, 10 % for validation; all published test "
        "frames. Surface frames have no stress label.",
        {"equipot": "benchmarks/configs/silicon.yaml"},
        8,
        splits="mlearn_si",
        published={
            "GAP": ("2.91 meV/atom", "70", ""),
            "MTP": ("2.21 meV/atom", "60", ""),
            "SNAP": ("6.44 meV/atom", "133", ""),
        },
    ),
}


def run(case: Case, config: str, minutes: float, work: Path, seed: int) -> dict[str, Any]:
    """Train and evaluate.

    Args:
        case: The data.
        config: What to train.
        minutes: Wall time of the training.
        work: Folder for data, checkpoints and metrics.
        seed: Of weights and batches.

    Returns:
        Metrics of the test frames as ``equipot eval`` writes them, with the epochs done and the time of a call.
    """
    hours, rest = divmod(round(minutes * 60), 3600)
    limit = f"00:{hours:02d}:{rest // 60:02d}:{rest % 60:02d}"
    overrides = [
        f"training_module.model.seed={seed}",
        "trainer.max_epochs=100000",
        f"+trainer.max_time='{limit}'",
        "+trainer.enable_progress_bar=false",
        "run=[train,test]",
        *case.overrides,
    ]
    files = {}
    if case.splits:
        for part, frames in SPLITS[case.splits]().items():
            files[part] = work / f"{part}.extxyz"
            write(files[part], frames)
            overrides.append(f"data.{part}_file_path='{files[part]}'")
    script = Path(sys.executable).with_name("equipot-train")
    subprocess.run([str(script), config, *overrides, "--output", str(work / "run")], cwd=ROOT, check=True)
    test = files.get("test") or _held_out(work / "run", work / "test.extxyz")
    equipot = Path(sys.executable).with_name("equipot")
    subprocess.run(
        [str(equipot), "eval", str(work / "run" / "best.ckpt"), str(test), "--out", str(work)], cwd=ROOT, check=True
    )
    metrics = json.loads((work / "metrics.json").read_text(encoding="utf-8"))
    frames = read(test, ":")
    return {**metrics, "n_atoms": sum(len(frame) for frame in frames), **_effort(work / "run" / "best.ckpt", frames)}


def _effort(checkpoint: Path, frames: list[Any]) -> dict[str, Any]:
    """Weights of a model, and the median CPU time of an ASE call in ms: neighbours, energy, forces, stress."""
    import torch

    from equipot.ase import EquipotCalculator

    torch.set_num_threads(1)
    calculator = EquipotCalculator(checkpoint)
    times = []
    for frame in frames[:1] + frames:  # the first call is not typical
        start = time.process_time()
        calculator.calculate(frame, ["energy", "forces"], all_changes)
        times.append(time.process_time() - start)
    weights = sum(parameter.numel() for parameter in calculator.model.parameters())
    return {"weights": weights, "call_ms": 1e3 * float(np.median(times[1:]))}


def _held_out(run_dir: Path, path: Path) -> Path:
    """Write the test frames of a run on the project's own data."""
    splits = json.loads((run_dir / "splits.json").read_text(encoding="utf-8"))
    files = splits["file"] if isinstance(splits["file"], list) else [splits["file"]]
    frames = [frame for file in files for frame in read(ROOT / file, ":")]
    write(path, [frames[index] for index in splits["test"]])
    return path


def _row(label: str, minutes: float, metrics: dict[str, Any]) -> list[str]:
    n_atoms = metrics["n_atoms"] / metrics["n_frames"]
    energy = metrics["per_atom_energy_mae_mev"]
    stress = metrics.get("stress_mae_mev_per_angstrom3")
    force = metrics.get("forces_mae_mev_per_angstrom")
    return [
        label,
        f"{minutes:g} min",
        f"{energy:.2f} meV/atom ({energy * n_atoms:.1f} meV)",
        "" if force is None else f"{force:.1f}",
        "" if stress is None else f"{stress:.2f}",
        f"{metrics['weights']}" if "weights" in metrics else "",
        f"{metrics['call_ms']:.1f}" if "call_ms" in metrics else "",
    ]


def main() -> int:
    """Run one case and store its table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("case", choices=CASES)
    parser.add_argument("--minutes", type=float, help="training time (default: the case's)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--peer-python", help="interpreter of a venv with nequip, trained on the same split for the same time"
    )
    options = parser.parse_args()
    case = CASES[options.case]
    minutes = options.minutes or case.minutes
    with tempfile.TemporaryDirectory() as folder:
        rows, works = [], []
        for label, config in case.models.items():
            works.append(Path(folder) / label)
            works[-1].mkdir()
            metrics = run(case, config, minutes, works[-1], options.seed)
            rows.append(_row(label, minutes, metrics))
        if options.peer_python:
            import peer_accuracy

            errors = peer_accuracy.run(options.peer_python, works[0], minutes, options.seed)
            known = {name: metrics[name] for name in ("n_atoms", "n_frames")}
            rows.append(_row("nequip (same split, same time)", minutes, {**known, **errors}))
    rows += [[f"{name}, published", "", *errors, "", ""] for name, errors in case.published.items()]
    threads = os.environ.get("OMP_NUM_THREADS", "all")
    result = {
        "title": case.title,
        "description": case.description,
        "columns": [
            "model",
            "training time",
            "energy MAE",
            "force MAE, meV/Å",
            "stress MAE, meV/Å³",
            "weights",
            "ASE call on one frame, CPU ms",
        ],
        "rows": rows,
        "command": shlex.join(
            [
                "python",
                "benchmarks/accuracy.py",
                *("PYTHON" if word == options.peer_python else word for word in sys.argv[1:]),
            ]
        ),
        "machine": f"{threads} of {os.cpu_count()} cores, {platform.machine()}, no GPU",
        "seed": options.seed,
        "versions": {name: version(name) for name in ("equipot", "torch", "e3nn", "lightning")},
    }
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{options.case}.json").write_text(
        json.dumps(result, indent=1, ensure_ascii=False) + "\n", encoding="utf-8"
    )
    print(json.dumps(rows, indent=1, ensure_ascii=False))
    return 0


if __name__ == "__main__":
    sys.exit(main())
