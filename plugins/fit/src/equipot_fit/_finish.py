"""What a fit ends with: errors on the test set, a report, and how to go on."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from equipot.evaluate import Evaluation, evaluate_frames
from equipot.files import write_json
from equipot.model import apply_automatic
from equipot_fit._commands import say
from equipot_fit._package import PACKAGE
from equipot_fit._report._run_folder import RunFolder
from equipot_fit._report._section import NotShownError
from equipot_fit._report._subject import Subject

SETS = {"test0": "test", "val0": "validation", "train": "training"}
"""What sets are called to users; the first that there is is evaluated."""

EVALUATION = "evaluation.json"
"""File in the folder of a run: what ``equipot eval --json`` prints, and which set it is about."""


def evaluated(folder: Path) -> tuple[str, Evaluation] | None:
    """Compare the package with the test set, or without one with the validation set, and write ``evaluation.json``.

    Args:
        folder: Of the run.

    Returns:
        Name of the set, and what was found; None if the frames cannot be read again.
    """
    subject = Subject(RunFolder.read(folder))
    try:
        data, sets = subject.data, subject.sets
    except NotShownError as error:
        say(f"no evaluation: {error}")
        return None
    name = next(one for one in SETS if one in sets)
    model, automatic = apply_automatic(subject.stored_model)
    found = evaluate_frames(model, sets[name], data.label_contract)
    files = ", ".join(dict.fromkeys(Path(one.file).name for one in found.frames))
    facts = {"model": PACKAGE, "data": files, "set": name, "automatic_modifiers": automatic.to_dict()}
    write_json(folder / EVALUATION, {**facts, **found.to_dict()})
    return name, found


def shown(
    folder: Path, evaluated: tuple[str, Evaluation] | None, record: Mapping[str, Any], report: Path | None
) -> None:
    """Print what came out, where it is, and how to use it.

    Args:
        folder: Of the run.
        evaluated: Name of a set, and errors of the package on it.
        record: What ``fit.json`` says.
        report: The report.
    """
    say("")
    say_errors(evaluated, record)
    for name, what in (
        (PACKAGE, "the model"),
        ("model.equipot.pt2", "the model, compiled for this machine"),
        ("plan.yaml", "the plan; equipot train repeats it"),
        (EVALUATION, "all errors"),
    ):
        if (folder / name).is_file():
            say(f"  {folder / name}: {what}")
    if report is not None:
        say(f"  {report}: the report")
    say(f"used {record['used_seconds'] / 60:.2f} of {record['asked_minutes']:g} min")
    say("run it in ASE:")
    say("  from equipot.ase import EquipotCalculator")
    say(f"  atoms.calc = EquipotCalculator({str(folder / PACKAGE)!r})")


def say_errors(evaluated: tuple[str, Evaluation] | None, record: Mapping[str, Any]) -> None:
    """Print the errors of the model, if there are some.

    Args:
        evaluated: Name of a set, and errors of the package on it.
        record: What ``fit.json`` says.
    """
    if evaluated is None:
        return
    name, evaluation = evaluated
    refitted = " after the refit" if (record.get("refit") or {}).get("kept") else ""
    say(f"errors of {PACKAGE}{refitted} on the {SETS[name]} set, {evaluation.n_frames} frames:")
    for line in _errors(evaluation):
        say(f"  {line}")


def _errors(evaluation: Evaluation) -> list[str]:
    """A line for each quantity."""
    lines = []
    for one in evaluation.compared:
        errors, quantity = one.errors(), one.quantity
        values = f"RMSE {errors['rmse']:.4g}, MAE {errors['mae']:.4g} {quantity.unit}"
        lines.append(f"{quantity.title}: {values}")
    return lines
