"""What was measured: which runs are stored, which are missing, and tables of them."""

from __future__ import annotations

import json
import platform
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

from settings import Settings
from studies import Study

RUNS = Path(__file__).parents[1] / "results" / "recipe.json"
COLUMNS = ["", "set", "steps", "CPU s", "energy, meV/atom", "forces, meV/Å", "stress, meV/Å³"]


def stored(path: Path = RUNS) -> list[dict[str, Any]]:
    """The runs measured so far."""
    found: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else []
    return found


def record(runs: list[dict[str, Any]], settings: Settings) -> dict[str, Any] | None:
    """The run with exactly these settings."""
    return next((one for one in runs if one["settings"] == settings.changed()), None)


def missing(runs: list[dict[str, Any]], studies: list[Study]) -> list[Settings]:
    """Settings of the studies without a run, each once."""
    wanted: list[Settings] = []
    for settings in (one for study in studies for one in study.runs.values()):
        if record(runs, settings) is None and settings not in wanted:
            wanted.append(settings)
    return wanted


def table(study: Study, runs: list[dict[str, Any]]) -> dict[str, Any]:
    """A table of the docs: one row for each run, with the errors of the test frames."""
    rows = []
    for label, settings in study.runs.items():
        if (found := record(runs, settings)) is not None:
            test = found["test"]
            stress = f"{test['stress']:.2f}" if settings.stress else ""
            rows.append(
                [label, settings.data, str(found["steps"]), f"{found['cpu_s']:.0f}",
                 f"{test['energy']:.2f}", f"{test['forces']:.1f}", stress]
            )  # fmt: skip
    return {
        "title": study.title,
        "description": study.description,
        "columns": COLUMNS,
        "rows": rows,
        "command": f"python benchmarks/recipe run {study.name}",
        "machine": f"one thread of a shared machine, {platform.machine()}, no GPU",
        "versions": {name: version(name) for name in ("equipot", "equipot-kernels", "torch")},
    }


def settings_of(words: list[str]) -> Settings:
    """Settings from words like ``lr=0.003``; values are JSON, or text."""
    given: dict[str, Any] = {}
    for word in words:
        key, _, value = word.partition("=")
        try:
            given[key] = json.loads(value)
        except ValueError:
            given[key] = value
    try:
        return Settings(**given)
    except TypeError as error:
        sys.exit(f"recipe: {error}")
