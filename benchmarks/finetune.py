"""Fine-tuned with 20 frames against trained from scratch with 20, 100 and 500; and what is forgotten.

    python benchmarks/finetune.py label [--work FOLDER]   (only for the case `method`; needs tblite)
    python benchmarks/finetune.py run [CASE ...] [--work FOLDER]
    python benchmarks/finetune.py table

``run`` trains a small model on old frames, fine-tunes it in several ways with 20 frames of ethanol, and trains new
models from scratch with as many optimizer steps and the same batches. All are compared on the same test frames of
ethanol, and on test frames of the old set. The old frames are those of other molecules (case ``molecules``) or of the
same molecule by a cheaper method (case ``method``; ``label`` makes them, and runs in any Python with ase and tblite).
Figures go to ``benchmarks/results/finetune.json``, from which ``table`` writes those of docs/how-to/fine-tune.md. The
frames are public sets from the folder in ``EQUIPOT_EXTRA_DATA``.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import resource
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import read, write

ROOT = Path(__file__).resolve().parent.parent
RAW = ROOT / "benchmarks" / "results" / "finetune.json"
TABLES = ROOT / "docs" / "results" / "finetune"

STEPS, BATCH = 1000, 5
BASE_STEPS = {"molecules": 6000, "method": 3000}
SIZES = (20, 100, 500)
VALIDATION, TEST, REPLAYED = 10, 300, 40
RATE, FINE_RATE = 0.02, 0.005

SCRATCH = "from scratch"

CASES = {
    "molecules": "aspirin and benzene, same method (PBE)",
    "method": "ethanol by GFN2-xTB; new labels by PBE",
}

READ = "{_target_: equipot.model.ModelFromPackage, package_path: ../base.equipot.zip}"
PARTS = "parts: [energy], train: [energy.layers.1, energy.readout]"
LOW_RANK = f"_target_: equipot_finetune.LowRankAdam, rank: 4, lr: {2 * FINE_RATE}"
REPLAY = (
    "_target_: equipot_finetune.ReplayDataModule, seed: 1, replay_file_path: ../old_train.extxyz, "
    f"replay_frames: {REPLAYED}"
)

WAYS: dict[str, tuple[list[str], str, str]] = {
    "all weights": ([], f"lr: {FINE_RATE}", ""),
    "last layer and readout": ([f"{{modifier: freeze_Parts, {PARTS}}}"], f"lr: {FINE_RATE}", ""),
    "low rank, 4": ([], LOW_RANK, ""),
    "all weights, replay": ([], f"lr: {FINE_RATE}", REPLAY),
    "low rank, replay": ([], LOW_RANK, REPLAY),
}
"""Name: modifiers, options of the optimizer, of the data section."""

CONFIG = """
data: {{{data}train_file_path: ../{train}.extxyz, val_file_path: ../{val}.extxyz,
    test_file_path: [../new_test.extxyz, ../old_test.extxyz],
    train_dataloader: {{batch_size: {batch}}}, val_dataloader: {{batch_size: 10}}}}
trainer: {{check_val_every_n_epoch: null, val_check_interval: {check}, callbacks: [
    {{_target_: equipot_fit.StepBudget, steps: {steps}}}, {{_target_: equipot_fit.PackageBest, max_frames: 100}}]}}
training_module:
  loss: {{coeffs: {{total_energy: 1.0, forces: 1.0}}, huber: 0.05}}
  optimizer: {{{optimizer}}}
  lr_scheduler: {{scheduler: {{_target_: equipot_fit.WarmupDecay, warmup_steps: 50, decays: [[{decay}, {steps}]]}},
      interval: step}}
  model: {model}
"""
NEW = (
    "{{_target_: equipot.model.NequIPGNNModel, r_max: 4.0, num_layers: 2, l_max: 1, parity: false, num_features: 32, "
    "radial_mlp_width: 32{shifts}}}"
)


def _loaders() -> Any:
    folder = os.environ.get("EQUIPOT_EXTRA_DATA")
    if not folder:
        sys.exit("finetune: set EQUIPOT_EXTRA_DATA to the folder with the public data sets")
    spec = importlib.util.spec_from_file_location("extra_loaders", Path(folder) / "loaders.py")
    if spec is None or spec.loader is None:
        sys.exit(f"finetune: {folder} has no loaders.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _chosen(frames: list[Atoms], count: int, seed: int) -> list[Atoms]:
    return [frames[index] for index in np.random.default_rng(seed).permutation(len(frames))[:count]]


def _atoms(loaders: Any) -> dict[str, float]:
    """Energies of isolated atoms by PBE/def2-SVP in eV."""
    frames = loaders.xyz("ethanol_botnet/isolated_atoms.xyz")
    return {one.get_chemical_symbols()[0]: one.get_potential_energy() for one in frames}


def label(folder: Path) -> None:
    """Write the frames of the case `method`: ethanol with energies and forces by GFN2-xTB."""
    from tblite.ase import TBLite  # type: ignore[import-not-found]

    loaders = _loaders()
    frames = {"train": _chosen(loaders.rmd17("ethanol", "train"), 1000, 1)[500:]}
    frames["train"], frames["val"] = frames["train"][:400], frames["train"][400:]
    frames["test"] = _chosen(loaders.rmd17("ethanol", "test"), TEST, 2)
    frames["atoms"] = [Atoms(symbol) for symbol in ("H", "C", "O")]
    folder.mkdir(parents=True, exist_ok=True)
    for part, given in frames.items():
        made = []
        for atoms in given:
            bare = Atoms(atoms.numbers, atoms.positions)
            spin = {1: 1, 6: 2, 8: 2}[int(bare.numbers[0])] if len(bare) == 1 else 0
            bare.calc = TBLite(method="GFN2-xTB", verbosity=0, multiplicity=spin + 1)
            results = {"energy": bare.get_potential_energy(), "forces": bare.get_forces()}
            bare.calc = SinglePointCalculator(bare, **results)
            made.append(bare)
        write(folder / f"old_{part}.extxyz", made)


def _write(case: str, folder: Path, loaders: Any) -> dict[str, float]:
    """Write all sets of a case; the energies of isolated atoms that the old labels have."""
    ethanol = _chosen(loaders.rmd17("ethanol", "train"), 1000, 1)
    write(folder / "new_val.extxyz", ethanol[500 - VALIDATION : 500])
    ethanol[500 - VALIDATION : 500] = []
    for size in SIZES:
        write(folder / f"new_{size}.extxyz", ethanol[:size])
    write(folder / "new_test.extxyz", _chosen(loaders.rmd17("ethanol", "test"), TEST, 2))
    if case == "method":
        if not (folder / "old_train.extxyz").exists():
            sys.exit(f"finetune: {folder} has no labelled frames; run 'label' with a Python that has tblite")
        found = read(folder / "old_atoms.extxyz", ":")
        return {one.get_chemical_symbols()[0]: one.get_potential_energy() for one in found}
    molecules = {name: _chosen(loaders.rmd17(name, "train"), 450, 3) for name in ("aspirin", "benzene")}
    parts = {"train": slice(0, 400), "val": slice(400, 425)}
    for part, where in parts.items():
        write(folder / f"old_{part}.extxyz", [one for frames in molecules.values() for one in frames[where]])
    tested = [one for name in molecules for one in _chosen(loaders.rmd17(name, "test"), TEST // 2, 4)]
    write(folder / "old_test.extxyz", tested)
    return _atoms(loaders)


def _equipot(folder: Path, *words: str) -> str:
    command = [str(Path(sys.executable).with_name("equipot")), *words]
    done = subprocess.run(command, cwd=folder, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        sys.exit(f"finetune: {' '.join(words)} failed: {done.stdout}")
    return done.stdout


def _children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _train(folder: Path, text: str) -> float:
    """Train in a folder; CPU seconds, or NaN if it was trained before."""
    folder.mkdir(exist_ok=True)
    if (folder / "run" / "model.equipot.zip").exists():
        return float(json.loads((folder / "cpu.json").read_text(encoding="utf-8")))
    (folder / "config.yaml").write_text(text, encoding="utf-8")
    begun = _children()
    _equipot(folder, "train", "config.yaml", "--output", "run", "--overwrite")
    used = _children() - begun
    (folder / "cpu.json").write_text(json.dumps(used), encoding="utf-8")
    return used


def _errors(folder: Path) -> dict[str, dict[str, float]]:
    """Mean absolute errors on new and old test frames: energy in meV per atom, forces in meV/Å."""
    found = json.loads((folder / "run" / "results.json").read_text(encoding="utf-8"))["test"]
    names = {"energy": "per_atom_energy_mae", "forces": "forces_mae"}
    return {
        part: {what: 1e3 * found[f"test{index}_epoch/{name}"] for what, name in names.items()}
        for index, part in enumerate(("new", "old"))
    }


def _config(train: str, model: str, optimizer: str, *, steps: int = STEPS, data: str = "", val: str = "new_val") -> str:
    check = min(100, (int(train.split("_")[1]) if train.startswith("new") else 400) // BATCH)
    return CONFIG.format(
        data=f"{data}, " if data else "",
        train=train,
        val=val,
        batch=BATCH,
        check=check,
        steps=steps,
        decay=steps // 2,
        optimizer=optimizer,
        model=model,
    )


def measure(case: str, folder: Path) -> dict[str, Any]:
    """Train and compare all models of a case in a folder; what is there already is kept."""
    folder.mkdir(parents=True, exist_ok=True)
    loaders = _loaders()
    shifts = _write(case, folder, loaders)
    as_text = ", ".join(f"{symbol}: {value:.6f}" for symbol, value in shifts.items() if symbol in ("H", "C", "O"))
    base = _config(
        "old_train",
        NEW.format(shifts=f", per_type_energy_shifts: {{{as_text}}}"),
        f"lr: {RATE}",
        steps=BASE_STEPS[case],
        val="old_val",
    )
    cpu = _train(folder / "base", base)
    package = folder / "base.equipot.zip"
    package.write_bytes((folder / "base" / "run" / "model.equipot.zip").read_bytes())
    rows = [{"way": "trained on old frames only", "frames": 0, "cpu": cpu}]
    rows[0] |= _errors(folder / "base")
    for name, (modifiers, optimizer, data) in WAYS.items():
        if case == "method" and data:
            continue  # old labels contradict the new ones
        steps = list(modifiers)
        if case == "method":
            pbe = ", ".join(f"{one}: {value:.6f}" for one, value in _atoms(loaders).items() if one in shifts)
            steps.append(f"{{modifier: modify_PerTypeScaleShift, shifts: {{{pbe}}}}}")
        model = (
            READ if not steps else f"{{_target_: equipot.model.modify, modifiers: [{', '.join(steps)}], model: {READ}}}"
        )
        rows.append(_row(folder, name, 20, _config("new_20", model, optimizer, data=data)))
    for size in SIZES:
        model = NEW.format(shifts="")
        rows.append(_row(folder, SCRATCH, size, _config(f"new_{size}", model, f"lr: {RATE}")))
    return {"case": case, "rows": rows}


def _row(folder: Path, name: str, frames: int, text: str) -> dict[str, Any]:
    place = folder / f"{name.replace(',', '').replace(' ', '_')}_{frames}"
    cpu = _train(place, text)
    errors = _errors(place)
    if name == SCRATCH:
        errors.pop("old")  # it was not made for these
    found = {"way": name, "frames": frames, "cpu": cpu, **errors}
    print(json.dumps(found), flush=True)
    return found


def table(found: dict[str, Any]) -> dict[str, Any]:
    """The table of a case for the docs page."""
    rows = []
    for one in found["rows"]:
        # Energies of two methods have different zeros, and what was labelled by the old one is not to be kept.
        hidden: set[str] = set() if found["case"] != "method" else {"old"} if one["frames"] else {"new energy"}
        errors = [
            "" if part not in one or {part, f"{part} {what}"} & hidden else f"{one[part][what]:.1f}"
            for part in ("new", "old")
            for what in ("energy", "forces")
        ]
        rows.append([one["way"], str(one["frames"] or ""), *errors, f"{one['cpu']:.0f}"])
    return {
        "title": f"Fine-tuned for ethanol; old frames: {CASES[found['case']]}",
        "description": f"Mean absolute errors on {TEST} test frames. Small NequIP-like models; "
        f"{BASE_STEPS[found['case']]} steps on the old frames, {STEPS} in all other trainings, {BATCH} frames in a "
        f"batch, best of the validations on {VALIDATION} further frames. Rates were not tuned: {RATE} from scratch, "
        f"{FINE_RATE} fine-tuned, {2 * FINE_RATE} with low rank.",
        "columns": [
            "training", "new frames", "new: energy, meV/atom", "new: forces, meV/Å",
            "old: energy, meV/atom", "old: forces, meV/Å", "CPU s",
        ],
        "rows": rows,
        "command": f"python benchmarks/finetune.py run {found['case']}",
        "machine": "1 of 2 cores, x86_64, no GPU",
        "seed": 1,
        "versions": {name: version(name) for name in ("equipot", "torch")},
    }  # fmt: skip


def main() -> None:
    """Parse the arguments and run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("task", choices=["label", "run", "table"])
    parser.add_argument("cases", nargs="*", help=", ".join(CASES))
    parser.add_argument("--work", type=Path, default=Path("outputs/finetune"), help="folder of data and models")
    given = parser.parse_args()
    if unknown := [name for name in given.cases if name not in CASES]:
        sys.exit(f"finetune: no case {', '.join(unknown)}; there are {', '.join(CASES)}")
    if given.task == "label":
        label(given.work / "method")
        return
    results = json.loads(RAW.read_text(encoding="utf-8")) if RAW.exists() else []
    if given.task == "run":
        os.environ.setdefault("OMP_NUM_THREADS", "1")
        for name in given.cases or CASES:
            found = measure(name, (given.work / name).resolve())
            results = [*(one for one in results if one["case"] != name), found]
            RAW.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    TABLES.mkdir(parents=True, exist_ok=True)
    for one in results:
        text = json.dumps(table(one), indent=1, ensure_ascii=False)
        (TABLES / f"{one['case']}.json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
