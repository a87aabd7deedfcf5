"""Changes of a planned config: its time, and what the training came to."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from typing import Any

from equipot_fit._tail import Tail

Config = dict[str, Any]

TIME, STEPS, PACKAGE = "equipot_fit.TimeBudget", "equipot_fit.StepBudget", "equipot_fit.PackageBest"
SCHEDULE = "equipot_fit.WarmupDecay"


def callbacks(config: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The callbacks of a config, as a list."""
    given = config.get("trainer", {}).get("callbacks") or []
    return list(given) if isinstance(given, list) else [given]


def _with_callbacks(config: Mapping[str, Any], found: list[dict[str, Any]]) -> Config:
    changed = copy.deepcopy(dict(config))
    changed.setdefault("trainer", {})["callbacks"] = found
    return changed


def with_time(config: Mapping[str, Any], minutes: float, tail: Tail) -> Config:
    """The config with the time that there is, and a package at the end.

    Args:
        config: With a ``TimeBudget``, or without.
        minutes: For everything.
        tail: What follows the training.
    """
    kept = [one for one in callbacks(config) if one.get("_target_") not in (TIME, PACKAGE)]
    before = next((one for one in callbacks(config) if one.get("_target_") == TIME), {})
    reserved = {"reserve": round(tail.seconds, 1), "reserve_frames": tail.frames}
    budget = {**before, "_target_": TIME, "minutes": minutes, **reserved}
    changed = _with_callbacks(config, [budget, *kept, _package(tail.refit_frames)])
    if not tail.tests:
        changed["run"] = [stage for stage in changed["run"] if stage != "test"]
    return changed


def _package(refit_frames: int) -> dict[str, Any]:
    return {"_target_": PACKAGE, **({"max_frames": refit_frames} if refit_frames else {"refit": False})}


def with_steps(config: Mapping[str, Any], budget: Mapping[str, Any], refit: Mapping[str, Any] | None = None) -> Config:
    """The config that repeats a training bit by bit: steps in place of time.

    Args:
        config: Of the training.
        budget: What its ``budget.json`` says.
        refit: What its ``refit.json`` says, if there is one.
    """
    changed = _with_callbacks(config, [_repeated(one, budget, refit) for one in callbacks(config)])
    for scheduler in _schedulers(changed):
        scheduler["decays"] = [list(decay) for decay in budget["decays"]]
    return changed


def _repeated(
    callback: Mapping[str, Any], budget: Mapping[str, Any], refit: Mapping[str, Any] | None
) -> dict[str, Any]:
    if callback.get("_target_") == PACKAGE and refit is not None:
        return _package(refit["max_frames"])
    if callback.get("_target_") != TIME:
        return dict(callback)
    coefficients = {"final_coeffs": callback["final_coeffs"]} if callback.get("final_coeffs") else {}
    return {"_target_": STEPS, "steps": budget["steps"], **coefficients}


def _schedulers(config: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    given = config.get("training_module", {}).get("lr_scheduler") or {}
    scheduler = given.get("scheduler", given)
    if isinstance(scheduler, dict) and scheduler.get("_target_") == SCHEDULE:
        yield scheduler
