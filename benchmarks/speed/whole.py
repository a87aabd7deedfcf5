"""A whole training on both sides, from the command to the last checkpoint, with the same hyperparameters."""

from __future__ import annotations

import json
import resource
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

import systems
from cases import Case
from compare import Settings
from interleave import environment, ratio, summary

N_TRAIN, N_VAL, BATCH = 40, 10, 5
EPOCHS = {"nequip": (3, 13), "equipot": (3, 63)}
"""Of the short and the long run on each side: the fast side needs more of them, or its start decides."""
CLOCKS = ("wall", "cpu", "epoch_wall_s", "epoch_cpu_s")
WHOLE = 300
"""Epochs of the whole training that is compared: 12 000 frames seen."""

EMBEDDING = {"nequip": "allegro.nn.TwoBodyBesselScalarEmbed", "equipot": "equipot_allegro.TwoBodyBesselScalarEmbed"}
BUILDER = {"nequip": "NequIPGNNModel", "allegro": "AllegroModel"}


def measure(case: Case, settings: Settings) -> dict[str, Any]:
    """Time both sides in turns, a short and a long run of each in every round.

    One short run of each, which fills caches, comes before and does not count.

    Args:
        case: Its model is trained; the frames are made-up molecules of 15 atoms with labels of ASE's EMT potential.
        settings: Rounds, threads, interpreters; variants other than ``core`` and ``default`` are not measured.
    """
    folder = settings.work / f"{case.name}_training"
    folder.mkdir(parents=True, exist_ok=True)
    write_frames(folder)
    keys = ["equipot/core", "equipot/default"]
    keys = [key for key in keys if key.split("/")[1] in settings.variants]
    if settings.peer_python:
        keys += ["nequip/train", *(["nequip/train_compiled"] if settings.peer_compiled else [])]
    rows: dict[str, list[dict[str, float]]] = {key: [] for key in keys}
    for key in keys:
        _run(case, key, folder, EPOCHS[_side(key)][0], settings)
    for _ in range(settings.rounds):
        for key in keys:
            few, many = EPOCHS[_side(key)]
            short, long = (_run(case, key, folder, epochs, settings) for epochs in (few, many))
            rows[key].append(_split(few, many, short, long))
            print(f"  {case.name}, {key}: {rows[key][-1]}", flush=True)
    peers = [key for key in keys if key.startswith("nequip")]
    best = min(peers, key=lambda key: summary([row["cpu"] for row in rows[key]])["median"], default=None)
    return {
        "case": case.name,
        "versions": versions(keys, settings),
        "epochs": EPOCHS,
        "whole_epochs": WHOLE,
        "frames": {"train": N_TRAIN, "val": N_VAL, "batch": BATCH},
        "times": {
            key: {name: summary([row[name] for row in found]) for name in found[0]} for key, found in rows.items()
        },
        "ratios": {
            key: {
                clock: ratio(rows[best], rows[key], clock) for clock in ("wall", "cpu", "epoch_wall_s", "epoch_cpu_s")
            }
            for key in keys
            if best and key not in peers
        },
    }


def _side(key: str) -> str:
    return key.partition("/")[0]


def versions(keys: list[str], settings: Settings) -> dict[str, dict[str, str]]:
    """Those of the distributions on each side, asked in its own environment."""
    found = {}
    for side in dict.fromkeys(map(_side, keys)):
        python = settings.ours_python if side == "equipot" else str(settings.peer_python)
        names = ["torch", *(["equipot"] if side == "equipot" else ["nequip", "nequip-allegro", "e3nn"])]
        code = f"import importlib.metadata as m, json; print(json.dumps({{n: m.version(n) for n in {names}}}))"
        variables = environment(settings.threads, settings.allocator, python)
        done = subprocess.run([python, "-c", code], capture_output=True, text=True, check=True, env=variables)
        found[side] = json.loads(done.stdout)
    return found


def _split(few: int, many: int, short: tuple[float, float], long: tuple[float, float]) -> dict[str, float]:
    """Wall and CPU seconds of an epoch, of the start, and (``wall``, ``cpu``) of ``WHOLE`` epochs with their start.

    Args:
        few: Epochs of the short run.
        many: Epochs of the long run.
        short: Wall and CPU seconds of the short run.
        long: The same of the long run.
    """
    found: dict[str, float] = {}
    for clock, a, b in zip(("wall", "cpu"), short, long, strict=True):
        epoch = (b - a) / (many - few)
        start = a - few * epoch
        found |= {clock: start + WHOLE * epoch, f"epoch_{clock}_s": epoch, f"start_{clock}_s": start}
    return found


def write_frames(folder: Path) -> None:
    """Frames for training and validation, with labels of ASE's EMT potential."""
    from ase.calculators.emt import EMT
    from ase.calculators.singlepoint import SinglePointCalculator
    from ase.io import write

    for name, first, count in (("train", 0, N_TRAIN), ("val", N_TRAIN, N_VAL)):
        frames = [systems.cluster(seed) for seed in range(first, first + count)]
        for atoms in frames:
            atoms.calc = EMT()
            energy, forces = atoms.get_potential_energy(), atoms.get_forces()
            atoms.calc = SinglePointCalculator(atoms, energy=energy, forces=forces)
        write(folder / f"{name}.extxyz", frames)


def _run(case: Case, key: str, folder: Path, epochs: int, settings: Settings) -> tuple[float, float]:
    """Wall and CPU seconds of one process."""
    side, mode = key.split("/")
    work = folder / f"{side}_{mode}"
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir()
    python = settings.ours_python if side == "equipot" else str(settings.peer_python)
    (work / "config.yaml").write_text(json.dumps(config(case, side, mode, folder, work, epochs)), encoding="utf-8")
    ours = [str(Path(python).with_name("equipot-train")), "config.yaml", "--output", "run"]
    peer = [str(Path(python).with_name("nequip-train")), "-cp", str(work), "-cn", "config", "hydra.run.dir=run"]
    variables = environment(settings.threads, settings.allocator, python)
    variables["EQUIPOT_AUTOMATIC_MODIFIERS"] = str(int(mode == "default"))
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    with (work / "log.txt").open("w") as log:
        command = ours if side == "equipot" else peer
        subprocess.run(command, cwd=work, stdout=log, stderr=log, check=True, env=variables)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return time.perf_counter() - start, cpu


def config(case: Case, side: str, mode: str, folder: Path, work: Path, epochs: int) -> dict[str, Any]:
    """The same config for both sides, each with its own names."""
    model: dict[str, Any] = {
        **case.hyperparameters,
        "_target_": f"{'equipot' if side == 'equipot' else _package(case)}.model.{BUILDER[case.model]}",
        "avg_num_neighbors": "${training_data_stats:num_neighbors_mean}",
        "per_type_energy_shifts": "${training_data_stats:per_atom_energy_mean}",
        "per_type_energy_scales": "${training_data_stats:forces_rms}",
    }
    if case.model == "allegro":
        model["radial_chemical_embed"] = {"_target_": EMBEDDING[side], "num_bessels": 8}
    if mode == "train_compiled":
        model["compile_mode"] = "compile"
    return {
        "run": ["train"],
        "data": data_options(side, {part: folder / f"{part}.extxyz" for part in ("train", "val")}, case, BATCH, N_VAL),
        "trainer": trainer_options(side, work, epochs),
        "training_module": {**module_options(side), "model": model},
    }


def data_options(side: str, files: dict[str, Path], case: Case, batch: int, val_batch: int) -> dict[str, Any]:
    """The section ``data`` of a config.

    Args:
        side: ``equipot`` or ``nequip``.
        files: Of ``train`` and ``val``.
        case: Types and cutoff.
        batch: Frames in a batch of training.
        val_batch: The same for validation.
    """
    data: dict[str, Any] = {
        "_target_": "equipot.data.ASEDataModule" if side == "equipot" else "nequip.data.datamodule.ASEDataModule",
        "seed": 1,
        **{f"{part}_file_path": str(path) for part, path in files.items()},
        "train_dataloader": {"batch_size": batch},
        "val_dataloader": {"batch_size": val_batch},
        "stats_manager": {"_target_": f"{side}.data.CommonDataStatisticsManager"},
    }
    if side == "nequip":
        names, loader = case.hyperparameters["type_names"], {"_target_": "torch.utils.data.DataLoader"}
        data["train_dataloader"] |= {**loader, "shuffle": True}
        data["val_dataloader"] |= loader
        data["stats_manager"] |= {"type_names": names, "dataloader_kwargs": {"batch_size": 10}}
        data["transforms"] = [
            {"_target_": "nequip.data.transforms.ChemicalSpeciesToAtomTypeMapper", "model_type_names": names},
            {"_target_": "nequip.data.transforms.NeighborListTransform", "r_max": case.hyperparameters["r_max"]},
        ]
    return data


def _package(case: Case) -> str:
    return case.model  # nequip.model.NequIPGNNModel, allegro.model.AllegroModel


def trainer_options(side: str, work: Path, epochs: int) -> dict[str, Any]:
    """The section ``trainer``, with a checkpoint after every epoch."""
    trainer: dict[str, Any] = {
        "_target_": "lightning.Trainer",
        "accelerator": "cpu",
        "max_epochs": epochs,
        "enable_progress_bar": False,
    }
    if side == "nequip":  # equipot has both without being asked
        trainer["logger"] = {"_target_": "lightning.pytorch.loggers.CSVLogger", "save_dir": str(work)}
        trainer["callbacks"] = [
            {
                "_target_": "lightning.pytorch.callbacks.ModelCheckpoint",
                "monitor": "val0_epoch/weighted_sum",
                "dirpath": str(work),
                "filename": "best",
                "save_last": True,
            }
        ]
    return trainer


def module_options(side: str) -> dict[str, Any]:
    """The section ``training_module`` without its model."""
    metrics = {
        "_target_": f"{side}.train.EnergyForceMetrics",
        "coeffs": {"per_atom_energy_mae": 1.0, "forces_mae": 1.0},
    }
    return {
        "_target_": f"{side}.train.EMALightningModule",
        "ema_decay": 0.99,
        "loss": {
            "_target_": f"{side}.train.EnergyForceLoss",
            "per_atom_energy": True,
            "coeffs": {"total_energy": 1.0, "forces": 1.0},
        },
        "val_metrics": metrics,
        "optimizer": {"_target_": "torch.optim.Adam", "lr": 0.01},
        "lr_scheduler": {
            "scheduler": {"_target_": "torch.optim.lr_scheduler.ReduceLROnPlateau", "factor": 0.5, "patience": 10},
            "monitor": "val0_epoch/weighted_sum",
            "interval": "epoch",
            "frequency": 1,
        },
    }
