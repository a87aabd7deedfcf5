"""What a fit ends with: errors on the test set, a report, and how to go on."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from equipot.data import FrameCollection
from equipot.evaluate import Evaluation, evaluate_frames
from equipot.files import write_json
from equipot.model import apply_automatic
from equipot_fit._commands import say
from equipot_fit._package import PACKAGE
from equipot_fit._report._baseline import element_energies, not_learnt, trivial_errors
from equipot_fit._report._run_folder import RunFolder
from equipot_fit._report._section import NotShownError
from equipot_fit._report._subject import Subject
from equipot_fit._tail import FEWEST_TESTED

SETS = {"test0": "test", "val0": "validation", "train": "training"}
"""What sets are called to users; the first that there is is evaluated."""

EVALUATION = "evaluation.json"
"""File in the folder of a run: what ``equipot eval --json`` prints, and which set it is about."""


class SetErrors(NamedTuple):
    """Errors of the package on a set."""

    name: str
    """Of the set; see ``SETS``."""
    evaluation: Evaluation
    of: int
    """Number of frames of the set."""
    seconds: float = 0.0
    """About what all of them would have taken."""
    not_learnt: tuple[str, ...] = ()
    """What is said of quantities of which the model knows nothing."""


def evaluated(folder: Path, seconds: float = math.inf, frame_seconds: float = 0.0) -> SetErrors | None:
    """Compare the package with the test set, or without one with the validation set, and write ``evaluation.json``.

    Args:
        folder: Of the run.
        seconds: There are for it: of a larger set random frames are taken.
        frame_seconds: Seconds that evaluating a frame of the validation set takes; 0 if unknown.

    Returns:
        What was found; None if the frames cannot be read again.
    """
    subject = Subject(RunFolder.read(folder))
    try:
        data, sets = subject.data, subject.sets
    except NotShownError as error:
        say(f"no evaluation: {error}")
        return None
    name = next(one for one in SETS if one in sets)
    model, automatic = apply_automatic(subject.stored_model)
    per_atom = frame_seconds / float(_atoms(sets["val0"]).mean()) if "val0" in sets else 0.0
    frames = affordable(sets[name], seconds, per_atom)
    found = evaluate_frames(model, frames, data.label_contract)
    of = len(sets[name].places)
    files = ", ".join(dict.fromkeys(Path(one.file).name for one in found.frames))
    facts = {"model": PACKAGE, "data": files, "set": name, "frames_of_set": of}
    facts |= {"automatic_modifiers": automatic.to_dict()}
    write_json(folder / EVALUATION, {**facts, **found.to_dict()})
    taken = per_atom * float(_atoms(sets[name]).sum())
    return SetErrors(name, found, of, taken, _not_learnt(found, element_energies(sets.get("train"))))


def _not_learnt(found: Evaluation, energies: Mapping[int, float]) -> tuple[str, ...]:
    """Sentences on the quantities of which the model knows no more than the trivial predictor."""
    known = ((one, trivial_errors(found, one, energies)) for one in found.compared)
    said = (
        not_learnt(one.quantity, float(one.errors()["mae"]), float(np.abs(trivial).mean()))
        for one, trivial in known
        if trivial is not None
    )
    return tuple(filter(None, said))


def affordable(frames: FrameCollection, seconds: float, per_atom: float) -> FrameCollection:
    """The frames, or so many random ones, always the same, as can be evaluated in a time.

    Args:
        frames: All of them.
        seconds: There are.
        per_atom: Seconds that an atom takes.
    """
    sizes = _atoms(frames)
    if per_atom * float(sizes.sum()) <= seconds:
        return frames
    order = np.random.default_rng(0).permutation(len(sizes))
    number = int((per_atom * np.cumsum(sizes[order]) <= seconds).sum())
    return frames.subset(sorted(order[: max(number, FEWEST_TESTED)].tolist()))


def _atoms(frames: FrameCollection) -> np.ndarray[Any, Any]:
    """Number of atoms of each frame."""
    return np.array([sum(count for _, count in frames.composition(index)) for index in range(len(frames.places))])


def shown(folder: Path, evaluated: SetErrors | None, record: Mapping[str, Any], report: Path | None) -> None:
    """Print what came out, where it is, and how to use it.

    Args:
        folder: Of the run.
        evaluated: Errors of the package on a set.
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


def say_errors(evaluated: SetErrors | None, record: Mapping[str, Any]) -> None:
    """Print the errors of the model, if there are some.

    Args:
        evaluated: Errors of the package on a set.
        record: What ``fit.json`` says.
    """
    if evaluated is None:
        return
    name, evaluation, of, seconds, warnings = evaluated
    refitted = " after the refit" if (record.get("refit") or {}).get("kept") else ""
    frames = f"{evaluation.n_frames} frames"
    if evaluation.n_frames < of:
        frames = f"{evaluation.n_frames} random ones of {of} frames (all take about {seconds / 60.0:.1f} min)"
    say(f"errors of {PACKAGE}{refitted} on the {SETS[name]} set, {frames}:")
    for line in _errors(evaluation):
        say(f"  {line}")
    for text in warnings:
        say(f"warning: {text}")


def _errors(evaluation: Evaluation) -> list[str]:
    """A line for each quantity."""
    lines = []
    for one in evaluation.compared:
        errors, quantity = one.errors(), one.quantity
        values = f"RMSE {errors['rmse']:.4g}, MAE {errors['mae']:.4g} {quantity.unit}"
        lines.append(f"{quantity.title}: {values}")
    return lines
