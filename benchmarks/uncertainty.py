"""What uncertainties of the last layer are worth on public sets: rms of z, AUROC and cost.

    python benchmarks/uncertainty.py run [SET ...] [--work FOLDER] [--made FOLDER]
    python benchmarks/uncertainty.py cost SET ... [--work FOLDER]
    python benchmarks/uncertainty.py committee SET ... [--work FOLDER]
    python benchmarks/uncertainty.py table

``run`` trains a small model on a set, adds uncertainties with ``equipot uncertainty add``, judges them with ``equipot
eval`` on frames of the domain and on hotter ones, and measures what a call of ASE's calculator costs with and without
them. Where a set has no hotter frames, they come from dynamics with the model itself; they need no labels.
``cost`` measures a call again, with the models that ``run`` left.
``committee`` trains two further models of other seeds on the frames that ``run`` left, and judges the spread of all
three; the factor on it is RMSE / std on the validation set. Figures go to ``benchmarks/results/uncertainty.json``,
from which ``table`` writes those of docs/how-to/uncertainty.md. The frames are public sets from the folder in
``EQUIPOT_EXTRA_DATA``; those of the salt are made by ``electrostatics/make_sets.py FOLDER``.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms, units
from ase.io import read, write
from ase.md.langevin import Langevin
from ase.md.velocitydistribution import MaxwellBoltzmannDistribution

from equipot.artifacts import load_model
from equipot.ase import EquipotCalculator
from equipot.model import GraphModel, apply_modifier
from equipot_uncertainty import CommitteeCalculator

ROOT = Path(__file__).resolve().parent.parent
RAW = ROOT / "benchmarks" / "results" / "uncertainty.json"
TABLES = ROOT / "docs" / "results" / "uncertainty"


def _loaders() -> Any:
    folder = os.environ.get("EQUIPOT_EXTRA_DATA")
    if not folder:
        sys.exit("uncertainty: set EQUIPOT_EXTRA_DATA to the folder with the public data sets")
    spec = importlib.util.spec_from_file_location("extra_loaders", Path(folder) / "loaders.py")
    if spec is None or spec.loader is None:
        sys.exit(f"uncertainty: {folder} has no loaders.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@dataclass(frozen=True)
class Case:
    """One set."""

    title: str
    frames: Callable[[Path], tuple[list[Atoms], list[Atoms] | None, list[Atoms]]]
    """All frames to train and validate on; those to test on, None for a part of the former; hotter ones. The folder is
    the one that ``electrostatics/make_sets.py`` wrote."""
    hotter: str
    """What the frames out of the domain are."""
    train: int
    val: int
    test: int
    steps: int = 3000
    batch: int = 5
    r_max: float = 4.0
    heat: float | None = None
    """Temperature in K of dynamics that make hotter frames."""
    kind: str = ""
    """What descriptions of frames begin with that are of one kind, where a set has several: only these are compared
    with each other for an AUROC of its own."""


def _acac(_: Path) -> Any:
    return tuple(_loaders().xyz(f"acac/{name}.xyz") for name in ("train_300K", "test_MD_300K", "test_MD_600K"))


def _electrolyte(_: Path) -> Any:
    kelvin = [one.info.get("temperature") for one in _loaders().xyz("ecemc/ECEMC.xyz")]
    liquids = [(t, one) for t, one in zip(kelvin, _loaders().ecemc(), strict=True) if t is not None]
    return [one for t, one in liquids if t <= 600], None, [one for t, one in liquids if t >= 900]


def _salt(made: Path) -> Any:
    return read(made / "salt.extxyz", ":"), None, read(made / "hot_salt.extxyz", ":")


def _mlearn(element: str, hot: tuple[str, ...]) -> Callable[[Path], Any]:
    def frames(_: Path) -> Any:
        loaders = _loaders()
        found = loaders.mlearn(element, "training") + loaders.mlearn(element, "test")
        is_hot = [one.info["description"].endswith(hot) for one in found]
        split = [[one for one, there in zip(found, is_hot, strict=True) if there == side] for side in (False, True)]
        return split[0], None, split[1]

    return frames


def _rmd17(molecule: str) -> Callable[[Path], Any]:
    return lambda _: (_loaders().rmd17(molecule, "train"), _loaders().rmd17(molecule, "test"), [])


DYNAMICS = r"Snapshot \d+ of 100000 of AIMD"
"""Frames of dynamics of the perfect crystal, without those of surfaces, vacancies and strained cells."""

CASES = {
    "acac": Case("acetylacetone, 300 K", _acac, "600 K", 400, 100, 300),
    "si": Case(
        "Si up to 1518 K, defects", _mlearn("Si", ("2530 K", "3374 K")), "2530 and 3374 K", 90, 40, 37, 2500, 2, 5.0,
        kind=DYNAMICS,
    ),
    "li": Case("Li up to 680 K, defects", _mlearn("Li", ("907 K",)), "907 K", 110, 40, 46, 1500, 2, 5.0, kind=DYNAMICS),
    "ethanol": Case("ethanol, 500 K", _rmd17("ethanol"), "1000 K, by the model", 400, 100, 300, heat=1000.0),
    "aspirin": Case("aspirin, 500 K", _rmd17("aspirin"), "1000 K, by the model", 400, 100, 200, heat=1000.0),
    "water": Case(
        "liquid water", lambda _: (_loaders().water(), None, []), "700 K, by the model",
        150, 60, 60, 500, 1, 4.0, 700.0,
    ),
    "electrolyte": Case("EC/EMC up to 600 K", _electrolyte, "900 to 1200 K", 65, 25, 30, 600, 1),
    "salt": Case("molten NaCl, 1200 K", _salt, "2000 K", 42, 16, 22, 1500, 2, 5.0),
}  # fmt: skip

CONFIG = """
data: {{seed: {seed}, train_file_path: train.extxyz, val_file_path: val.extxyz,
    train_dataloader: {{batch_size: {batch}}}, val_dataloader: {{batch_size: 10}}}}
trainer: {{check_val_every_n_epoch: null, val_check_interval: {check}, callbacks: [
    {{_target_: equipot_fit.StepBudget, steps: {steps}}}, {{_target_: equipot_fit.PackageBest, max_frames: 100}}]}}
training_module:
  loss: {{coeffs: {{total_energy: 1.0, forces: 1.0}}, huber: 0.05}}
  optimizer: {{lr: 0.02}}
  lr_scheduler: {{scheduler: {{_target_: equipot_fit.WarmupDecay, warmup_steps: 50, decays: [[{decay}, {steps}]]}},
      interval: step}}
  model: {{_target_: equipot.model.NequIPGNNModel, seed: {seed}, r_max: {r_max}, num_layers: 2, l_max: 1, parity: false,
      num_features: 32, radial_mlp_width: 32}}
"""


def _equipot(folder: Path, *words: str) -> None:
    subprocess.run([Path(sys.executable).with_name("equipot"), *words], cwd=folder, check=True)


def measure(name: str, folder: Path, made: Path) -> dict[str, Any]:
    """Train, fit, judge and time one set in a folder; what is there already is kept."""
    case = CASES[name]
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "hot.extxyz").exists():
        _write(case, folder, made)
    _train(case, folder, "run", 1)
    _equipot(folder, "uncertainty", "add", "run", "--force-directions", "16", "-o", "with_forces.equipot.zip")
    if not (folder / "hot.extxyz").stat().st_size:
        _heat(folder, case.heat or 1000.0)
    found = {"set": name, "judged": _judged(folder, "test.extxyz", "hot.extxyz"), "cost": _costs(folder)}
    if case.kind:
        for part in ("test", "hot"):
            frames = [
                one for one in read(folder / f"{part}.extxyz", ":") if re.match(case.kind, one.info["description"])
            ]
            write(folder / f"{part}_of_kind.extxyz", frames)
        found["of_kind"] = _judged(folder, "test_of_kind.extxyz", "hot_of_kind.extxyz")
    return found


def _train(case: Case, folder: Path, run: str, seed: int) -> None:
    if (folder / run / "model.equipot.zip").exists():
        return
    numbers = {"steps": case.steps, "decay": case.steps // 2, "check": min(100, case.train // case.batch)}
    text = CONFIG.format(batch=case.batch, r_max=case.r_max, seed=seed, **numbers)
    (folder / "config.yaml").write_text(text, encoding="utf-8")
    _equipot(folder, "train", "config.yaml", "--output", run, "--overwrite")


def measure_committee(name: str, folder: Path, _: Path) -> dict[str, Any]:
    """Train two further models, and judge the spread of three."""
    runs = ["run", "run2", "run3"]
    for seed, run in enumerate(runs, start=1):
        _train(CASES[name], folder, run, seed)
    models = [f"{run}/model.equipot.zip" for run in runs]
    found = {}
    for data in (["val.extxyz"], ["test.extxyz", "hot.extxyz"]):
        _equipot(folder, "uncertainty", "committee", *models, "--data", *data, "--out", "committee.json")
        found[data[0]] = json.loads((folder / "committee.json").read_text(encoding="utf-8"))["uncertainties"]
    calculators = {"bare": EquipotCalculator(folder / models[0])}
    calculators["committee"] = CommitteeCalculator([folder / one for one in models])
    tested = found["test.extxyz"]
    return {
        "set": name,
        "val": found["val.extxyz"]["by_file"]["val.extxyz"],
        "in_domain": tested["by_file"]["test.extxyz"],
        "auroc": tested["auroc"]["hot.extxyz"],
        "cost": _times(folder, calculators),
    }


def _judged(folder: Path, inside: str, outside: str, model: str = "with_forces.equipot.zip") -> dict[str, Any]:
    """What uncertainties are worth on a file of the domain and one with hotter frames."""
    _equipot(folder, "eval", model, inside, outside, "--out", "judged")
    found = json.loads((folder / "judged" / "metrics.json").read_text(encoding="utf-8"))["uncertainties"]
    by_file, (auroc,) = found["by_file"], found["auroc"].values()
    return {"in_domain": by_file[inside], "out_of_domain": by_file[outside], "auroc": auroc}


def _energies_only(model: GraphModel) -> GraphModel:
    """The model with the same uncertainties of energies, and none of forces."""
    state = dict(model.heads())["uncertainty"].state_dict()
    made = apply_modifier(model, "add_LastLayerUncertainty", {"force_directions": 0})
    dict(made.heads())["uncertainty"].load_state_dict({**state, "force_factor": state["force_factor"][:, :0]})
    return made.eval()


def _write(case: Case, folder: Path, made: Path) -> None:
    pool, tested, hot = case.frames(made)
    order = np.random.default_rng(1).permutation(len(pool))
    shuffled = [pool[index] for index in order]
    sets = {"train": shuffled[: case.train], "val": shuffled[case.train : case.train + case.val]}
    rest = shuffled[case.train + case.val :] if tested is None else tested
    chosen = np.random.default_rng(2).permutation(len(rest))[: case.test]
    sets["test"] = [rest[index] for index in chosen]
    sets["hot"] = [hot[index] for index in np.random.default_rng(3).permutation(len(hot))[: case.test]]
    for part, frames in sets.items():
        if frames:
            write(folder / f"{part}.extxyz", frames)
        else:
            (folder / f"{part}.extxyz").touch()


def _heat(folder: Path, kelvin: float) -> None:
    """Frames of dynamics with the model at a higher temperature, one each 25 fs from 0.25 to 1 ps, without labels."""
    atoms = read(folder / "test.extxyz", 0)
    atoms.calc = EquipotCalculator(folder / "run" / "model.equipot.zip")
    rng = np.random.default_rng(4)
    MaxwellBoltzmannDistribution(atoms, temperature_K=kelvin, rng=rng)
    dynamics = Langevin(atoms, 0.5 * units.fs, temperature_K=kelvin, friction=0.05 / units.fs, rng=rng)
    dynamics.run(500)
    frames = []
    for _ in range(30):
        dynamics.run(50)
        frames.append(atoms.copy())
    write(folder / "hot.extxyz", frames)


def _costs(folder: Path) -> dict[str, float]:
    """CPU seconds of a call of the calculator: without uncertainties, with that of energies, with that of forces."""
    forces = load_model(folder / "with_forces.equipot.zip")
    models = {"bare": forces.replace(outputs={}), "energy": _energies_only(forces), "forces": forces}
    return _times(folder, {name: EquipotCalculator(model) for name, model in models.items()})


def _times(folder: Path, calculators: dict[str, Any]) -> dict[str, float]:
    """CPU seconds of a call of each calculator, in turn: medians of 60 calls, or more where they are quick."""
    atoms = read(folder / "test.extxyz", 0)
    times: dict[str, list[float]] = {name: [] for name in calculators}
    rng, first = np.random.default_rng(5), time.process_time()
    for turn in range(620):
        if turn >= 80 and time.process_time() - first > 10.0:
            break
        atoms.positions += 0.001 * rng.standard_normal(atoms.positions.shape)
        for name, calculator in calculators.items():
            begun = time.process_time()
            calculator.calculate(atoms)
            if turn >= 20:  # compiled kernels serve from the tenth call on
                times[name].append(time.process_time() - begun)
    return {name: float(np.median(values)) for name, values in times.items()}


def _hot_z(found: dict[str, Any]) -> str:
    """The root mean square of z of energies and forces; empty without labels."""
    return ", ".join(f"{found[name]['rms_z']:.2f}" for name in ("per_atom_energy", "forces") if name in found)


def table(results: list[dict[str, Any]]) -> dict[str, Any]:
    """The table of the docs page."""
    rows = []
    for one in results:
        case, found, cost = CASES[one["set"]], one["judged"], one["cost"]
        inside, inner = (found["in_domain"][name] for name in ("per_atom_energy", "forces"))
        of_kind = f"{one['of_kind']['auroc']['energy_std']:.3f}" if "of_kind" in one else ""
        rows.append(
            [
                case.title,
                f"{inside['rmse']:.1f}",
                f"{inside['rms_z']:.2f}",
                f"{inside['within_1']:.0%}, {inside['within_2']:.0%}",
                f"{inner['rms_z']:.2f}",
                case.hotter,
                _hot_z(found["out_of_domain"]),
                f"{found['auroc']['energy_std']:.3f}",
                of_kind,
                f"{found['auroc']['atomic_energy_std']:.3f}",
                f"{found['auroc']['forces_std']:.3f}",
                f"{100 * (cost['energy'] / cost['bare'] - 1):+.0f} %",
                f"{cost['forces'] / cost['bare']:.1f} ×",
            ]
        )
    return {
        "title": "Uncertainties of the last layer",
        "description": "Small NequIP-like models, trained for a minute or so on one core; uncertainties fitted on "
        "training and validation set. In the domain: root mean square of z (1 is right) and coverage on test frames. "
        "AUROC: how well uncertainties separate hotter frames from test frames. Cost of a call in ASE: for the "
        "uncertainty of energies, and with 16 directions for that of forces.",
        "columns": [
            "set", "energy errors, meV/atom", "rms z, energy", "within 1, 2 std", "rms z, forces",
            "hotter frames", "rms z there, energy, forces", "AUROC, energy", "same, bulk only", "AUROC, atoms",
            "AUROC, forces", "cost, energy", "cost, forces",
        ],
        "rows": rows,
        "command": "python benchmarks/uncertainty.py run",
        **_ORIGIN,
    }  # fmt: skip


def committee_table(results: list[dict[str, Any]]) -> dict[str, Any]:
    """The table of committees on the docs page."""
    rows = []
    for one in results:
        cells = [CASES[one["set"]].title]
        for name in ("per_atom_energy", "forces"):
            scale, found = one["val"][name]["rmse"] / one["val"][name]["rms_std"], one["in_domain"][name]
            cells += [f"{found['rmse']:.1f}", f"{scale:.2f}", f"{found['rmse'] / (scale * found['rms_std']):.2f}"]
        cells += [f"{one['auroc'][key]:.3f}" for key in ("energy_std", "forces_std")]
        rows.append([*cells, f"{one['cost']['committee'] / one['cost']['bare']:.1f} ×"])
    return {
        "title": "Committees of three models",
        "description": "The same sets, models and hotter frames, with three seeds. The spread is multiplied with "
        "RMSE / std on the validation set, separately for energies and forces; then RMSE / std on test frames should "
        "be 1. Cost of a call in ASE relative to one model without uncertainties.",
        "columns": [
            "set", "energy errors, meV/atom", "scale, energy", "RMSE / std, energy", "force errors, meV/Å",
            "scale, forces", "RMSE / std, forces", "AUROC, energy", "AUROC, forces", "cost",
        ],
        "rows": rows,
        "command": "python benchmarks/uncertainty.py committee " + " ".join(one["set"] for one in results),
        **_ORIGIN,
    }  # fmt: skip


_ORIGIN = {
    "machine": "1 of 2 cores, x86_64, no GPU",
    "seed": 1,
    "versions": {name: version(name) for name in ("equipot", "torch")},
}


def main() -> None:
    """Parse the arguments and run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("task", choices=["run", "cost", "committee", "table"])
    parser.add_argument("sets", nargs="*", help=", ".join(CASES))
    parser.add_argument("--work", type=Path, default=Path("outputs/uncertainty"), help="folder of data and models")
    parser.add_argument("--made", type=Path, default=Path("outputs/electrostatics"), help="folder of make_sets.py")
    given = parser.parse_args()
    if unknown := [name for name in given.sets if name not in CASES]:
        sys.exit(f"uncertainty: no set {', '.join(unknown)}; there are {', '.join(CASES)}")
    results = json.loads(RAW.read_text(encoding="utf-8")) if RAW.exists() else {"last_layer": [], "committee": []}
    kinds = {"run": ("last_layer", measure), "committee": ("committee", measure_committee)}
    if given.task in kinds:
        os.environ.setdefault("OMP_NUM_THREADS", "1")
        kind, make = kinds[given.task]
        for name in given.sets or CASES:
            found = make(name, given.work / name, given.made)
            results[kind] = [*(one for one in results[kind] if one["set"] != name), found]
            RAW.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    if given.task == "cost":
        for one in results["last_layer"]:
            if one["set"] in given.sets:
                one["cost"] = _costs(given.work / one["set"])
        RAW.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    TABLES.mkdir(parents=True, exist_ok=True)
    for kind, make_table in (("last_layer", table), ("committee", committee_table)):
        if results[kind]:
            text = json.dumps(make_table(results[kind]), indent=1, ensure_ascii=False)
            (TABLES / f"{kind}.json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
