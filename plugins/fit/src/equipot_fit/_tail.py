"""What comes after a training: how long it takes, and what of it a budget has room for."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass, field

from equipot_fit._speed import StepTime

PACKAGE, REPORT, COMPILE = 1.5, 5.0, 80.0
"""Seconds of an idle machine for the package, the report and the compiled file, without evaluations of frames."""

REPORT_FRAMES, MOST_JUDGED, LEARNT_PART = 100, 500, 5
"""Evaluations of frames that any report has (dynamics, laws, volumes), and frames on which it judges a model at most;
of those that were learnt it takes this many times fewer."""

COMPILE_PART, REFIT_PART = 0.1, 0.08
"""Parts of the time that the compiled file and the refit may take."""

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
    frames = 2 * test + val * (1 if test else 2)
    if refitted:
        frames += (each.last_layer + 2) * (refitted + val)
    if not brief:
        frames += REPORT_FRAMES + min(test or val, MOST_JUDGED) + min(train, MOST_JUDGED) // LEARNT_PART
    return Tail(seconds, refitted, compiles, skipped, frames)


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
