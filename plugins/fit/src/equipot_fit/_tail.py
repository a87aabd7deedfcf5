"""What comes after a training: how long it takes, and what of it a budget has room for."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass, field

from equipot_fit._speed import StepTime

PACKAGE, REPORT, COMPILE = 2.0, 11.0, 80.0
"""Seconds of an idle machine for the package, the report and the compiled file."""

MOST_SLOWED = 3.0
"""Longer than this many times as long is not expected, however busy the machine is."""

COMPILE_PART, REFIT_PART = 0.1, 0.08
"""Parts of the time that the compiled file and the refit may take."""

FEWEST_FRAMES, MOST_FRAMES = 20, 20_000
"""Training frames of a refit."""


@dataclass(frozen=True)
class Tail:
    """What follows a training, and the seconds kept for it."""

    seconds: float
    """All of it."""
    refit_frames: int
    """Training frames of the refit; 0 for no refit."""
    compiles: bool
    """Whether a compiled file is made."""
    skipped: dict[str, str] = field(default_factory=dict)
    """What is left out, and why."""


def tail_of(total: float, each: StepTime, slowed: float = 1.0, *, brief: bool = False) -> Tail:
    """What fits into the time after a training.

    Args:
        total: Seconds of the whole budget.
        each: What was measured.
        slowed: How many times as long as on an idle machine things have taken so far.
        brief: Whether there is neither a report nor a compiled file.
    """
    slowed = min(max(slowed, 1.0), MOST_SLOWED)
    skipped: dict[str, str] = {}
    frame = each.validation / max(each.frames["val"], 1)
    seconds = slowed * (PACKAGE + REPORT * (not brief)) + frame * (2 * each.frames["test"] + each.frames["val"])
    frames, refit_seconds = _refit(total, each, frame)
    if not frames:
        too_long = "it would take more time than the budget has room for"
        skipped["refit"] = too_long if each.last_layer else "the model does not say what it is linear in"
    compiles = COMPILE_PART * total >= COMPILE and not brief
    if brief:
        skipped["compile"] = skipped["report"] = "not asked for"
    elif not compiles:
        skipped["compile"] = f"it takes about {COMPILE:.0f} s, more than {COMPILE_PART:.0%} of the time"
    elif not compiler():
        compiles, skipped["compile"] = False, "there is no C++ compiler"
    return Tail(seconds + refit_seconds + slowed * COMPILE * compiles, frames, compiles, skipped)


def _refit(total: float, each: StepTime, frame: float) -> tuple[int, float]:
    """Number of frames and seconds of a refit, which evaluates each frame once per weight of the last layer."""
    evaluations, val, train = each.last_layer + 2, each.frames["val"], each.frames["train"]
    room = REFIT_PART * total / (evaluations * max(frame, 1e-6)) - val
    frames = int(min(room, train, MOST_FRAMES))
    if not each.last_layer or frames < min(FEWEST_FRAMES, train):
        return 0, 0.0
    return frames, evaluations * (frames + val) * frame


def compiler() -> bool:
    """Whether there is a C++ compiler, which compiled files are made with."""
    return any(shutil.which(name) for name in (os.environ.get("CXX", ""), "g++", "clang++", "c++") if name)
