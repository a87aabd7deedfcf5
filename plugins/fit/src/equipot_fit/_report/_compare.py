"""Runs side by side: what they were trained on, their errors, parameters, time and speed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from equipot.containers import plain
from equipot.errors import EquipotError
from equipot.quantities import REPORTED
from equipot.units import Units
from equipot_fit._report._run_folder import RunFolder
from equipot_fit._report._section import Data, NotShownError
from equipot_fit._report._subject import Subject

PARTS = ("val", "test")


def compared(paths: Sequence[str | Path], *, speed: bool = True) -> Data:
    """What is known of each run, and where their data differ.

    Args:
        paths: Folders of runs.
        speed: Whether the models are timed; it takes about two seconds of CPU time for each.

    Returns:
        ``runs``, one entry each, ``differences`` of the data, a sentence each, and ``comparable`` by set.

    Raises:
        ConfigError: If one is not the folder of a run.
    """
    folders = [RunFolder.read(path) for path in paths]
    subjects = [Subject(one) for one in folders]
    runs = [dict(plain(summary(one, name))) for one, name in zip(subjects, _names(folders), strict=True)]
    if speed:
        _time(subjects, runs)
    sets = sorted({name for run in runs for name in run["errors"]})
    comparable = {name: _same([run["frames"].get(name) for run in runs if name in run["errors"]]) for name in sets}
    return {"runs": runs, "differences": _differences(runs), "comparable": comparable}


def _names(folders: Sequence[RunFolder]) -> list[str]:
    """Names of the folders, or whole paths where two have one name."""
    names = [one.path.resolve().name for one in folders]
    return [name if names.count(name) == 1 else str(one.path) for one, name in zip(folders, names, strict=True)]


def summary(subject: Subject, name: str) -> Data:
    """One run, from its files alone.

    Args:
        subject: The run.
        name: By which it is called.
    """
    run = subject.run
    config_data = run.config.get("data")
    section = config_data if isinstance(config_data, dict) else {}
    units: Units = "real" if section.get("units") == "real" else "metal"
    found: Data = {
        "name": name, "path": str(run.path), "complete": bool(run.results), "seconds": run.seconds(),
        "errors": errors(run.results, units) | delivered(run.evaluation),
        "frames": {}, "files": {}, "split": {key: run.splits.get(key) for key in ("by",)} if run.splits else None,
        "counts": {}, "model": str(run.model_section.get("_target_", "")).rpartition(".")[2], "parameters": None,
        "r_max": None, "dtype": None, "epoch": None, "speed": None, "problem": "",
    }  # fmt: skip
    try:
        manifest, model = subject.manifest, subject.stored_model
    except NotShownError as reason:
        return found | {"problem": str(reason)}
    sets = (manifest.data.get("census") or {}).get("sets") or {}
    epoch = manifest.provenance.get("epoch")
    return found | {
        "frames": dict(manifest.data.get("frames") or {}), "files": dict(manifest.data.get("files") or {}),
        "counts": {key: one.get("frames") for key, one in sets.items()},
        "model": str(model.config.get("_target_", "")).rpartition(".")[2],
        "parameters": sum(one.numel() for one in model.parameters() if one.requires_grad),
        "r_max": model.info.r_max, "dtype": model.info.model_dtype, "epoch": None if epoch is None else epoch + 1,
    }  # fmt: skip


def errors(results: Mapping[str, Any], units: Units) -> Data:
    """Errors by set and quantity, in the units of tables, of what a run has logged at its end.

    Args:
        results: Of ``results.json``.
        units: Unit system of the data.
    """
    found: Data = {}
    for part in PARTS:
        stage = results.get(part)
        for key, value in stage.items() if isinstance(stage, Mapping) else ():
            name, _, rest = str(key).partition("_epoch/")
            for quantity in REPORTED:
                for kind in ("mae", "rmse"):
                    if rest == f"{quantity.name}_{kind}" and isinstance(value, (int, float)):
                        found.setdefault(name, {}).setdefault(quantity.name, {})[kind] = float(value) * quantity.factor(
                            units
                        )
    return found


def delivered(evaluation: Mapping[str, Any]) -> Data:
    """Errors on the test set of the model that ``equipot fit`` has refitted and packaged, which count instead.

    Args:
        evaluation: Of ``evaluation.json``, in the units of tables already.
    """
    found: Data = {}
    for quantity in REPORTED:
        for kind in ("mae", "rmse"):
            value = evaluation.get(quantity.number(kind))
            if isinstance(value, (int, float)):
                found.setdefault("test0", {}).setdefault(quantity.name, {})[kind] = float(value)
    return found


def _time(subjects: Sequence[Subject], runs: Sequence[Data]) -> None:
    """Time all models on one structure: a frame of the first run whose data can be read and that all know."""
    from equipot_fit._report._geometry import atoms_of
    from equipot_fit._report._speed import many, timed

    frames = None
    for subject in subjects:
        try:
            frames = subject.frames()
            break
        except (NotShownError, EquipotError):
            continue
    if not frames:
        return
    atoms = atoms_of(frames[0])
    structure = many(atoms) if len(atoms) < 100 else atoms
    for subject, run in zip(subjects, runs, strict=True):
        try:
            run["speed"] = timed(subject.model, structure)
        except (NotShownError, EquipotError) as error:
            run["problem"] = run["problem"] or str(error)


def _same(values: Sequence[object]) -> bool:
    return len({str(one) for one in values}) <= 1 and None not in values


def _differences(runs: Sequence[Data]) -> list[str]:
    """What differs in the data, a sentence each."""
    found = []
    known = [run for run in runs if run["frames"]]
    names = sorted({name for run in known for name in run["frames"]})
    for name in names:
        if not _same([run["frames"].get(name) for run in known]):
            counts = ", ".join(f"{run['name']} {run['counts'].get(name, 'none')}" for run in known)
            consequence = "" if name == "train" else ": errors on it are not comparable"
            found.append(f"The {name} sets differ ({counts} frames){consequence}.")
    if not _same([sorted(run["files"].values()) for run in known]):
        found.append("The runs read different data files.")
    if without := [run["name"] for run in runs if not run["frames"]]:
        found.append(f"Nothing is known of the data of {', '.join(without)}.")
    return found


# ------------------------------------------------------------------------------ rows


def rows(found: Data) -> list[tuple[str, list[str], int | None]]:
    """Rows of a table: what it is, a cell for each run, and which is best; None where none is or nothing compares.

    Args:
        found: Of ``compared``.
    """
    runs = found["runs"]
    lines: list[tuple[str, list[str], int | None]] = [
        ("model", [run["model"] for run in runs], None),
        ("parameters", [_cell(run["parameters"]) for run in runs], None),
        ("r_max, Å", [_cell(run["r_max"]) for run in runs], None),
        ("dtype", [_cell(run["dtype"]) for run in runs], None),
        ("train frames", [_cell(run["counts"].get("train")) for run in runs], None),
        ("epochs", [_cell(run["epoch"]) for run in runs], None),
        ("training, min", [_cell(None if run["seconds"] is None else run["seconds"] / 60.0) for run in runs], None),
    ]
    for name, comparable in found["comparable"].items():
        for quantity in REPORTED:
            for kind in ("mae", "rmse"):
                values = [run["errors"].get(name, {}).get(quantity.name, {}).get(kind) for run in runs]
                if any(value is not None for value in values):
                    title = f"{name} {quantity.title} {kind.upper()}, {quantity.unit}"
                    lines.append((title, [_cell(value) for value in values], _best(values) if comparable else None))
    times = [None if run["speed"] is None else run["speed"]["microseconds_per_atom"] for run in runs]
    if any(one is not None for one in times):
        lines.append(("µs per atom", [_cell(one) for one in times], _best(times)))
    return lines


def _cell(value: Any) -> str:
    if value is None:
        return "–"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _best(values: Sequence[float | None]) -> int | None:
    """Index of the smallest value of several."""
    known = [(value, index) for index, value in enumerate(values) if value is not None]
    return min(known)[1] if len(known) > 1 else None
