"""What comes after a training: how long it takes, and what of it a budget has room for."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field

from equipot_fit._report._subject import MAX_ATOMS
from equipot_fit._speed import StepTime

PACKAGE, REPORT, COMPILE = 1.5, 5.0, 80.0
"""Seconds of an idle machine for the package, the report and the compiled file, without evaluations of frames."""

REPORT_FRAMES, MOST_JUDGED, LEARNT_PART = 100, 500, 5
"""Evaluations of frames that any report has (dynamics, laws, volumes), and frames on which it judges a model at most;
of those that were learnt it takes this many times fewer."""

FEWEST_REPORTED = 10
"""Evaluations that it has of frames of any size: of large ones there are fewer, as it looks at so many atoms."""

COMPILE_PART, REFIT_PART, TEST_PART = 0.1, 0.08, 0.1
"""Parts of the time that the compiled file, the refit and the test set may take."""

FEWEST_TESTED = 20
"""So many frames of a test set are evaluated in any case."""

FEWEST_FRAMES, MOST_FRAMES = 20, 20_000
"""Training frames of a refit."""

NO_TIME = "it would take more time than the budget has room for"
"""Why there is no refit."""


@dataclass(frozen=True)
class Tail:
    """What follows a training, and what is kept for it."""

    seconds: float
    """Of an idle machine, without evaluations of frames."""
    refit_frames: int
    """Training frames of the refit; 0 for no refit."""
    compiles: bool
    """Whether a compiled file is made."""
    skipped: dict[str, str] = field(default_factory=dict)
    """What is left out, and why."""
    frames: int = 0
    """Evaluations of frames: of the package, the refit and the report."""
    tests: bool = True
    """Whether the training tests on its own, too; else the test set is too large for the time."""


def tail_of(total: float, each: StepTime, *, brief: bool = False) -> Tail:
    """What fits into the time after a training.

    Args:
        total: Seconds of the whole budget.
        each: What was measured, or is expected.
        brief: Whether there is neither a report nor a compiled file.
    """
    skipped: dict[str, str] = {}
    train, val, test = (each.frames[name] for name in ("train", "val", "test"))
    refitted = refit_frames(total, each.last_layer, each.validation / max(val, 1), train, val)
    if not refitted:
        skipped["refit"] = NO_TIME if each.last_layer else "the model does not say what it is linear in"
    compiles = COMPILE_PART * total >= COMPILE and not brief
    if brief:
        skipped["compile"] = skipped["report"] = "not asked for"
    elif not compiles:
        skipped["compile"] = f"it takes about {COMPILE:.0f} s, more than {COMPILE_PART:.0%} of the time"
    elif not compiler():
        compiles, skipped["compile"] = False, "there is no C++ compiler"
    seconds = PACKAGE + REPORT * (not brief) + COMPILE * compiles
    tested = tested_frames(total, each.validation / max(val, 1), test)
    tests = 2 * test <= tested_frames(total, each.validation / max(val, 1), 2 * test)
    frames = (2 * test if tests else tested) + val * (1 if test else 2)
    if refitted:
        frames += (each.last_layer + 2) * (refitted + val)
    if not brief:
        frames += report_frames(each.frames, each.atoms)
    return Tail(seconds, refitted, compiles, skipped, frames, tests)


def tested_frames(total: float, frame: float, test: int) -> int:
    """Number of frames of a test set that are evaluated.

    Args:
        total: Seconds of the whole budget.
        frame: Seconds that evaluating a frame takes.
        test: Number of all of them.
    """
    return min(test, max(int(TEST_PART * total / max(frame, 1e-6)), FEWEST_TESTED))


def report_frames(frames: Mapping[str, int], atoms: float = 0.0) -> int:
    """Evaluations of frames in a report.

    Args:
        frames: Number of frames of each part: ``train``, ``val`` and ``test``.
        atoms: Mean number of atoms of a frame; 0 if unknown.
    """
    most = min(MOST_JUDGED, int(MAX_ATOMS / max(atoms, 1.0)))
    judged = min(frames["test"] or frames["val"], most) + min(frames["train"], most) // LEARNT_PART
    return max(min(REPORT_FRAMES, most), FEWEST_REPORTED) + judged


def refit_frames(total: float, weights: int, frame: float, train: int, val: int) -> int:
    """Number of training frames for a refit, which evaluates each once per weight of the last layer; 0 for no refit.

    Args:
        total: Seconds of the whole budget.
        weights: Of the last layer; 0 if the model does not say which they are.
        frame: Seconds that evaluating a frame takes.
        train: Number of training frames.
        val: Number of validation frames.
    """
    room = REFIT_PART * total / ((weights + 2) * max(frame, 1e-6)) - val
    frames = int(min(room, train, MOST_FRAMES))
    return frames if weights and frames >= min(FEWEST_FRAMES, train) else 0


def compiler() -> bool:
    """Whether there is a C++ compiler, which compiled files are made with."""
    return any(shutil.which(name) for name in (os.environ.get("CXX", ""), "g++", "clang++", "c++") if name)
