"""The models: how each program trains one for a given CPU time, and predicts with it."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import whole
from ase.io import read
from cases import Case
from sets import Set

HERE = Path(__file__).parent
FIT = 5.0
EVER = 100_000
"""Epochs that no training reaches."""


@dataclass(frozen=True)
class Model:
    """One model."""

    title: str
    program: str
    prepare: Callable[[Model, Set, dict[str, Path], Path, str], list[str]]
    """Writes the program's input into a folder and gives the command."""
    finish: Callable[[Path, str], tuple[Path, int | None]]
    """After the training was stopped: the best model in the folder, and the epochs done."""
    options: dict[str, Any] = field(default_factory=dict)
    is_fit: bool = False
    """Has nothing to give before it ends by itself: it gets up to ``FIT`` times the CPU time."""


class NoEpochError(RuntimeError):
    """A training whose time was up before a first epoch and its validation had ended."""


def run(
    model: Model, frames: Set, files: dict[str, Path], work: Path, minutes: Sequence[float], pythons: dict[str, str]
) -> dict[float, dict[str, Any]]:
    """Train once, and for each of several times predict and compare with what the training had given until then.

    Args:
        model: What to train.
        frames: The set.
        files: Its parts.
        work: Emptied first.
        minutes: CPU times of the training, everything of its process included; the last one ends it. A fit that ends
            by itself has one.
        pythons: Interpreter of each program.

    Returns:
        For each time, the results, or ``failed`` and why.
    """
    environment = {"allegro": "nequip", "symmetrix": "mace"}.get(model.program, model.program)
    if environment not in pythons:
        raise ValueError(f"needs --python {environment}=INTERPRETER")
    if model.is_fit and len(minutes) != 1:
        raise ValueError(f"{model.title} ends by itself: it takes one time, got {len(minutes)}")
    python = pythons[environment]
    shutil.rmtree(work, ignore_errors=True)
    running = work / "running"
    running.mkdir(parents=True)
    command = model.prepare(model, frames, files, running, python)
    limits = [60.0 * one * (FIT if model.is_fit else 1.0) for one in minutes]
    found: dict[float, dict[str, Any]] = {}
    for one, (until, cpu) in zip(minutes, _train(command, running, limits, python), strict=True):
        try:
            best, epochs = model.finish(until, python)
            command = [python, HERE / "predict.py", model.program, best, files["test"], until / "predicted.npz"]
            _call(command, until, python)
            errors = _errors(files["test"], until)
            found[one] = {"epochs": epochs, "training_cpu_s": cpu, "versions": _versions(python), **errors}
        except (RuntimeError, OSError) as error:
            found[one] = {"failed": f"{type(error).__name__}: {error}".splitlines()[0]}
    return found


def _variables(python: str) -> dict[str, str]:
    kept = {key: value for key, value in os.environ.items() if key != "PYTHONPATH" or python == sys.executable}
    kept["TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD"] = "1"  # MACE's e3nn keeps constants of its own in a pickle
    return {**kept, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}


def _train(command: list[str], running: Path, limits: Sequence[float], python: str) -> list[tuple[Path, float]]:
    """Run until the CPU clock of the process and its children reaches the last limit.

    Returns:
        For each limit, a copy of the folder as it was then, which is what a training that was stopped there had left,
        and the clock.
    """
    copies = []
    with (running / "log.txt").open("w") as log:
        process = subprocess.Popen(command, cwd=running, stdout=log, stderr=log, env=_variables(python))
        try:
            used = 0.0
            for limit in limits:
                while process.poll() is None and used < limit:
                    time.sleep(0.5)
                    used = max(used, cpu_seconds(process.pid))
                if process.poll() not in (None, 0):
                    lines = (running / "log.txt").read_text(errors="replace").strip().splitlines()
                    raise RuntimeError(
                        f"the training ended with code {process.returncode}: {lines[-1] if lines else ''}"
                    )
                copy = running.with_name(f"until_{limit:g}_s")
                with _paused(process):
                    shutil.copytree(running, copy)
                copies.append((copy, used))
        finally:
            process.kill()
            process.wait()
    return copies


@contextlib.contextmanager
def _paused(process: subprocess.Popen[bytes]) -> Iterator[None]:
    if process.poll() is None:
        process.send_signal(signal.SIGSTOP)
    yield
    if process.poll() is None:
        process.send_signal(signal.SIGCONT)


def cpu_seconds(pid: int) -> float:
    """Of a process, its threads, and those of its children that have ended; Linux only."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    except OSError:
        return 0.0
    return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")


def _call(command: list[Any], work: Path, python: str) -> None:
    done = subprocess.run(
        [str(word) for word in command], cwd=work, capture_output=True, text=True, check=False, env=_variables(python)
    )
    if done.returncode:
        raise RuntimeError(f"{Path(str(command[1])).name} failed: {(done.stderr.strip().splitlines() or [''])[-1]}")


def _errors(test: Path, work: Path) -> dict[str, float]:
    frames, found = read(test, ":"), np.load(work / "predicted.npz")
    counts = np.array([len(atoms) for atoms in frames])
    energies = np.array([atoms.get_potential_energy() for atoms in frames])
    forces = np.concatenate([atoms.get_forces() for atoms in frames])
    return {
        "energy_mae": 1e3 * float(np.abs((found["energies"] - energies) / counts).mean()),
        "forces_mae": 1e3 * float(np.abs(found["forces"] - forces).mean()),
        "us_per_atom": float(found["us_per_atom"]),
        "timed_atoms": int(found["timed_atoms"]),
    }


def _versions(python: str) -> dict[str, str]:
    code = (
        "import importlib.metadata as m, json\n"
        "there = {d.name: d.version for d in m.distributions()}\n"
        "names = ('equipot', 'nequip', 'nequip-allegro', 'mace-torch', 'sevenn', 'symmetrix-xl', 'ace-jax', 'torch')\n"
        "print(json.dumps({name: there[name] for name in names if name in there}))"
    )
    done = subprocess.run([python, "-c", code], capture_output=True, text=True, check=True, env=_variables(python))
    versions: dict[str, str] = json.loads(done.stdout)
    return versions


# ---------------------------------------------------------------- equipot, nequip and allegro


def _lightning(model: Model, frames: Set, files: dict[str, Path], work: Path, python: str) -> list[str]:
    ours = model.program == "equipot"
    side = "equipot" if ours else "nequip"
    case = Case("pareto", model.program, {"type_names": frames.symbols, "r_max": frames.r_max})
    parts = {part: files[part] for part in ("train", "val")}
    config = {
        "run": ["train"],
        "data": whole.data_options(side, parts, case, frames.batch, frames.batch),
        "trainer": whole.trainer_options(side, work, EVER),
        "training_module": {
            **whole.module_options(side),
            "model": {
                "seed": 1,
                "model_dtype": "float32",
                "type_names": frames.symbols,
                "r_max": frames.r_max,
                "avg_num_neighbors": "${training_data_stats:num_neighbors_mean}",
                "per_type_energy_shifts": "${training_data_stats:per_atom_energy_mean}",
                "per_type_energy_scales": "${training_data_stats:forces_rms}",
                **model.options,
            },
        },
    }
    (work / "config.yaml").write_text(json.dumps(config), encoding="utf-8")
    if ours:
        return [str(Path(python).with_name("equipot-train")), "config.yaml", "--output", "run"]
    script = str(Path(python).with_name("nequip-train"))
    return [script, "-cp", str(work), "-cn", "config", "hydra.run.dir=run"]


def _lightning_best(work: Path, _python: str) -> tuple[Path, int | None]:
    best = max(work.rglob("best*.ckpt"), key=lambda path: path.stat().st_mtime, default=None)
    if best is None:
        raise NoEpochError("no epoch was finished")
    return best, _lightning_epochs(work)


def _lightning_epochs(work: Path) -> int | None:
    """The last epoch in what Lightning logged."""
    logs = sorted(work.rglob("metrics.csv"))
    if not logs:
        return None
    names, *rows = [line.split(",") for line in logs[-1].read_text(encoding="utf-8").splitlines()]
    column = names.index("epoch")
    return max((int(row[column]) + 1 for row in rows if row[column]), default=None)


_PRESETS: dict[str, dict[str, Any]] = {
    "S": {"num_layers": 2, "l_max": 1, "num_features": [128, 64]},
    "M": {"num_layers": 4, "l_max": 2, "num_features": [128, 64, 32]},
    "L": {"num_layers": 6, "l_max": 3, "num_features": [128, 64, 32, 32]},
}
_NEQUIP = {"parity": False, "type_embed_num_features": 32, "radial_mlp_depth": 1, "radial_mlp_width": 128}
_ALLEGRO: dict[str, dict[str, Any]] = {
    "S": {"num_layers": 1, "l_max": 1, "num_scalar_features": 32, "num_tensor_features": 16},
    "M": {"num_layers": 2, "l_max": 2, "num_scalar_features": 64, "num_tensor_features": 32},
    "L": {"num_layers": 2, "l_max": 3, "num_scalar_features": 128, "num_tensor_features": 64},
}


def _models_of_lightning() -> dict[str, Model]:
    found = {}
    for size, layers in _PRESETS.items():
        nequip = {**_NEQUIP, **layers}
        allegro = {"parity": False, **_ALLEGRO[size]}
        for name, title, program, options in (
            (f"equipot-nequip-{size}", f"equipot, NequIP-like {size}", "equipot",
             {"_target_": "equipot.model.NequIPGNNModel", **nequip}),
            (f"equipot-allegro-{size}", f"equipot, Allegro-like {size}", "equipot",
             {"_target_": "equipot.model.AllegroModel", **allegro,
              "radial_chemical_embed": {"_target_": whole.EMBEDDING["equipot"], "num_bessels": 8}}),
            (f"nequip-{size}", f"nequip {size}", "nequip",
             {"_target_": "nequip.model.NequIPGNNModel", **nequip}),
            (f"allegro-{size}", f"allegro {size}", "allegro",
             {"_target_": "allegro.model.AllegroModel", **allegro,
              "radial_chemical_embed": {"_target_": whole.EMBEDDING["nequip"], "num_bessels": 8}}),
        ):  # fmt: skip
            found[name] = Model(title, program, _lightning, _lightning_best, options)
    return found


# ---------------------------------------------------------------- MACE


def _mace(model: Model, frames: Set, files: dict[str, Path], work: Path, python: str) -> list[str]:
    options = {
        "name": "model",
        "train_file": files["train"],
        "valid_file": files["val"],
        "energy_key": "REF_energy",
        "forces_key": "REF_forces",
        "E0s": "average",
        "r_max": frames.r_max,
        "batch_size": frames.batch,
        "valid_batch_size": frames.batch,
        "max_num_epochs": EVER,
        "eval_interval": 1,
        "lr": 0.01,
        "device": "cpu",
        "default_dtype": "float32",
        "seed": 1,
        **model.options,
    }
    for part in ("train_file", "valid_file"):  # it takes labels of these names alone
        labelled = read(options[part], ":")
        for atoms in labelled:
            atoms.info["REF_energy"] = atoms.get_potential_energy()
            atoms.arrays["REF_forces"] = atoms.get_forces()
            atoms.calc = None
        options[part] = work / f"{part}.extxyz"
        from ase.io import write

        write(options[part], labelled)
    words = [f"--{key}={value}" for key, value in options.items()]
    command = [str(Path(python).with_name("mace_run_train")), *words, "--ema", "--ema_decay=0.99"]
    (work / "command.json").write_text(json.dumps(command))
    return command


def _mace_best(work: Path, python: str) -> tuple[Path, int | None]:
    """Its model file is written at the end alone: the training is continued from its checkpoint for no epoch."""
    epochs = max((int(path.stem.rsplit("-", 1)[1]) for path in work.glob("checkpoints/*epoch-*.pt")), default=None)
    if epochs is None:
        raise NoEpochError("no epoch was finished")
    command = [*json.loads((work / "command.json").read_text()), "--restart_latest", f"--max_num_epochs={epochs}"]
    _call(command, work, python)
    return work / "model.model", epochs + 1


def _symmetrix_best(work: Path, python: str) -> tuple[Path, int | None]:
    """MACE's model, written again for the program that runs it in C++."""
    best, epochs = _mace_best(work, python)
    script = Path(python).with_name("symmetrix_extract_mace")
    _call([script, "--model", best, "--output", work / "model.json"], work, python)
    return work / "model.json", epochs


# ---------------------------------------------------------------- SevenNet


def _sevenn(model: Model, frames: Set, files: dict[str, Path], work: Path, python: str) -> list[str]:
    config = {
        "model": {
            "chemical_species": frames.symbols,
            "cutoff": frames.r_max,
            "weight_nn_hidden_neurons": [64, 64],
            "act_gate": {"e": "silu", "o": "tanh"},
            "act_scalar": {"e": "silu", "o": "tanh"},
            "is_parity": False,
            "self_connection_type": "nequip",
            "conv_denominator": "avg_num_neigh",
            **model.options,
        },
        "train": {
            "random_seed": 1,
            "is_train_stress": False,
            "epoch": EVER,
            "optimizer": "adam",
            "optim_param": {"lr": 0.005},
            "scheduler": "exponentiallr",
            "scheduler_param": {"gamma": 0.99},
            "force_loss_weight": 1.0,
            "per_epoch": 1,
            "device": "cpu",
            "error_record": [["Energy", "MAE"], ["Force", "MAE"], ["TotalLoss", "None"]],
        },
        "data": {
            "batch_size": frames.batch,
            "shift": "per_atom_energy_mean",
            "scale": "force_rms",
            "data_format_args": {"index": ":"},
            "load_trainset_path": [str(files["train"])],
            "load_validset_path": [str(files["val"])],
        },
    }
    (work / "input.yaml").write_text(json.dumps(config), encoding="utf-8")
    return [str(Path(python).with_name("sevenn")), "train", "input.yaml", "-s"]


def _sevenn_best(work: Path, _python: str) -> tuple[Path, int | None]:
    best = next(iter(work.glob("checkpoint_best.pth")), None)
    if best is None:
        raise NoEpochError("no epoch was finished")
    epochs = [int(path.stem.rsplit("_", 1)[1]) for path in work.glob("checkpoint_[0-9]*.pth")]
    return best, max(epochs, default=None)


# ---------------------------------------------------------------- linear ACE


def _ace(model: Model, frames: Set, files: dict[str, Path], work: Path, python: str) -> list[str]:
    options = {
        "train": str(files["train"]),
        "test": str(files["val"]),
        "energy-key": "energy",
        "force-key": "forces",
        "e0": "lsq",
        "r0": frames.bond,
        "map-steps": 10,  # of the optimisation of hyperparameters, so that the fit ends
        "map-polish": "off",
        "out": "fit",
    }
    basis = {"elements": frames.symbols, "rcut": frames.r_max, "r0": frames.bond, **model.options}
    for name, values in (("options", options), ("basis", basis)):
        (work / f"{name}.json").write_text(json.dumps(values), encoding="utf-8")
    return [python, str(HERE / "ace_fit.py"), "options.json", "basis.json"]


def _ace_best(work: Path, _python: str) -> tuple[Path, int | None]:
    """A linear fit ends by itself, or gives nothing."""
    best = work / "fit" / "model.npz"
    if not best.exists():
        raise RuntimeError("the fit did not end in this time")
    return best, None


MODELS: dict[str, Model] = {
    **_models_of_lightning(),
    "mace-S": Model("MACE, 32 channels, L = 0", "mace", _mace, _mace_best, {"hidden_irreps": "32x0e"}),
    "mace-M": Model("MACE, 64 channels, L = 1", "mace", _mace, _mace_best, {"hidden_irreps": "64x0e+64x1o"}),
    "symmetrix-S": Model("MACE, 32 channels, L = 0, with Symmetrix-XL", "symmetrix", _mace, _symmetrix_best,
                         {"hidden_irreps": "32x0e"}),
    "sevenn-S": Model("SevenNet, 32 channels, l = 1", "sevenn", _sevenn, _sevenn_best,
                      {"channel": 32, "lmax": 1, "num_convolution_layer": 2}),
    "sevenn-M": Model("SevenNet, 32 channels, l = 2", "sevenn", _sevenn, _sevenn_best,
                      {"channel": 32, "lmax": 2, "num_convolution_layer": 3}),
    "ace-S": Model("linear ACE, order 2, degree 8", "ace", _ace, _ace_best,
                   {"order": 2, "totaldegree": 8}, is_fit=True),
    "ace-M": Model("linear ACE, order 3, degree 12", "ace", _ace, _ace_best,
                   {"order": 3, "totaldegree": 12}, is_fit=True),
}  # fmt: skip
"""All models; the NequIP-like and Allegro-like ones have the same sizes in both programs."""

RECIPES: dict[str, Model] = {
    "nequip": Model(
        "nequip, tutorial",
        "nequip",
        _lightning,
        _lightning_best,
        {"_target_": "nequip.model.NequIPGNNModel", "parity": True, "num_layers": 4, "l_max": 1, "num_features": 32,
         "radial_mlp_depth": 2, "radial_mlp_width": 64},
    ),
    "mace": Model(
        "MACE, default",
        "mace",
        _mace,
        _mace_best,
        {"hidden_irreps": "128x0e + 128x1o", "r_max": 5.0, "batch_size": 10, "valid_batch_size": 10},
    ),
}  # fmt: skip
"""What the programs recommend to newcomers: layers and widths of nequip's tutorial, defaults of ``mace_run_train``."""
