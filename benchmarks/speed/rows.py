"""The rows of the page on performance: what is measured for each, and the tables made from it.

``python benchmarks/speed rows [ROW ...]`` measures and writes one JSON file for each row; ``python benchmarks/speed
tables`` fills ``docs/results/speed`` from these files.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import first_step
import sizes
import whole
from cases import CASES
from compare import GROUPS, VARIANTS, Settings, run_case, run_ops, run_threads

KINDS = ("times", "ops", "threads", "memory", "training", "start")


@dataclass(frozen=True)
class Row:
    """One table of the page."""

    title: str
    cases: tuple[str, ...]
    groups: tuple[str, ...] = ()
    """Of ``compare.GROUPS``."""
    kind: str = "times"
    """One of ``KINDS``."""
    note: str = ""


FAMILIES = ("nequip", "allegro")


def _both(case: str) -> tuple[str, ...]:
    return tuple(f"{family}-{case}" for family in FAMILIES)


ROWS: dict[str, Row] = {
    "small": Row("Training step, 5 molecules of 15 atoms", _both("small"), ("train",)),
    "ops": Row("Torch ops of one training step", _both("small"), ("train",), "ops"),
    "fixed": Row(
        "Fixed cost: one molecule of three atoms",
        _both("fixed"),
        ("model", "train"),
        note="With so few atoms, nothing but the cost of going through the ops is left.",
    ),
    "training": Row(
        "Whole training, 40 frames of 15 atoms",
        _both("small"),
        ("train",),
        "training",
        "Batches of 5, validation on 10 frames after each epoch, EMA, Adam, one checkpoint for each epoch. Times are "
        "those of whole processes. The time of an epoch is the difference between a long and a short run, divided by "
        "the difference of their epochs; the start is what remains. 300 epochs (12 000 frames seen) are the start and "
        "300 times an epoch.",
    ),
    "batch": Row("Model call, 32 molecules of ethanol", _both("molecules"), ("model",)),
    "dynamics": Row("One step of molecular dynamics with ASE, 9 atoms", _both("ethanol"), ("ase",)),
    "water": Row("Training step, 10 392 edges", FAMILIES, ("train",)),
    "calls": Row(
        "Model call, 10 392 edges", ("nequip-l1", "nequip", "nequip-l3", "nequip-parity", "allegro"), ("model",)
    ),
    "steps": Row("One step of molecular dynamics with ASE, 192 atoms", FAMILIES, ("ase",)),
    "threads": Row(
        "Two threads against one, wall time",
        ("nequip-small", "allegro-small", "nequip", "allegro"),
        ("model", "train"),
        "threads",
    ),
    "start": Row(
        "From the start of a training to the end of its first step",
        _both("small"),
        ("train",),
        "start",
        "Wall seconds since the process was started, with empty caches and again. The frames are those of the row on "
        "whole training. Everything ran on one core, the C++ compiler included.",
    ),
    "memory": Row("Memory for each edge, Allegro-like", ("allegro",), ("model", "train"), "memory"),
}
"""Name of each row."""

MEMORY_MODES = ("nequip/eager", "nequip/train", *(f"equipot/{one}{how}" for one in VARIANTS for how in ("", "-train")))


def measure(name: str, settings: Settings) -> dict[str, Any]:
    """All cases of one row.

    Args:
        name: Key of ``ROWS``.
        settings: The groups are those of the row.
    """
    row = ROWS[name]
    settings = replace(settings, groups=row.groups)
    ours = [mode for group in row.groups for mode in GROUPS[group][1] if mode.split("-")[0] in settings.variants]
    if row.kind == "times":
        return {case: run_case(CASES[case], settings) for case in row.cases}
    if row.kind == "ops":
        return {case: run_ops(CASES[case], settings) for case in row.cases}
    if row.kind == "training":
        return {case: whole.measure(CASES[case], settings) for case in row.cases}
    if row.kind == "start":
        return {case: first_step.measure(CASES[case], settings) for case in row.cases}
    if row.kind == "threads":
        modes = [mode for mode in ours if not mode.endswith("aoti")]
        return {case: run_threads(CASES[case], settings, modes) for case in row.cases}
    wanted = [key for key in MEMORY_MODES if key.startswith("nequip") or key.split("/")[1] in ours]
    return {case: {"memory": sizes.memory(case, settings, wanted)} for case in row.cases}


def tables(results: Path, docs: Path) -> list[Path]:
    """Write the tables of all rows that were measured.

    Args:
        results: Folder with one ``row_NAME.json`` for each.
        docs: Folder that the directive ``equipot-results`` reads.

    Returns:
        The files.
    """
    docs.mkdir(parents=True, exist_ok=True)
    written = []
    for number, (name, row) in enumerate(ROWS.items()):
        source = results / f"row_{name}.json"
        if not source.exists():
            continue
        found = json.loads(source.read_text(encoding="utf-8"))
        columns, lines = _TABLES[row.kind](found["results"])
        facts = found["machine"]
        table = {
            "title": row.title,
            "description": row.note,
            "columns": columns,
            "rows": lines,
            "command": found["command"],
            "machine": f"{facts['cpu']}, {facts['instructions']}, {found['threads']} thread, {facts['date']}",
            "versions": _versions(found["results"]),
        }
        path = docs / f"{number:02d}_{name}.json"
        path.write_text(json.dumps(table, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        written.append(path)
    return written


def _versions(results: dict[str, Any]) -> dict[str, str]:
    sides = next(iter(results.values())).get("versions", {})
    return {name: one for held in sides.values() for name, one in held.items() if name != "threads"}


def _spread(one: dict[str, float], digits: int = 1) -> str:
    return f"{one['median']:.{digits}f} ({one['min']:.{digits}f}–{one['max']:.{digits}f})"


def _shown(key: str) -> str:
    return key.removeprefix("equipot/").replace("nequip/", "peer ")


def _times(results: dict[str, Any]) -> tuple[list[str], list[list[str]]]:
    lines = []
    for case, result in results.items():
        for key, clocks in result["times_ms"].items():
            ratio = result["ratios"].get(key.removeprefix("equipot/"), {}).get("cpu")
            lines.append([case, _shown(key), _spread(clocks["cpu"]), _spread(ratio) if ratio else ""])
        lines += [[case, _shown(key), "does not run", ""] for key in result["failed"]]
    return ["case", "mode", "CPU ms", "times faster than the peer's best"], lines


def _ops(results: dict[str, Any]) -> tuple[list[str], list[list[str]]]:
    lines = [[case, _shown(key), str(n)] for case, found in results.items() for key, n in found["ops"].items()]
    return ["case", "mode", "torch ops of a step"], lines


def _training(results: dict[str, Any]) -> tuple[list[str], list[list[str]]]:
    lines = []
    for case, found in results.items():
        for key, one in found["times"].items():
            ratios = found["ratios"].get(key)
            shown = [_spread(one["epoch_wall_s"], 3), _spread(one["epoch_cpu_s"], 3), _spread(one["start_cpu_s"])]
            shown.append(_spread(one["cpu"], 0))
            faster = [_spread(ratios[clock]) if ratios else "" for clock in ("epoch_cpu_s", "cpu", "wall")]
            lines.append([case, _shown(key), *shown, *faster])
    return [
        "case",
        "mode",
        "wall s for an epoch",
        "CPU s for an epoch",
        "CPU s of the start",
        "CPU s for 300 epochs",
        "times faster: an epoch, CPU",
        "300 epochs, CPU",
        "300 epochs, wall",
    ], lines


def _threads(results: dict[str, Any]) -> tuple[list[str], list[list[str]]]:
    lines = [
        [case, key, *(_spread(one[name]) for name in ("one_ms", "two_ms")), _spread(one["ratio"], 2)]
        for case, found in results.items()
        for key, one in found["threads_of"].items()
    ]
    return ["case", "mode", "one thread, wall ms", "two threads, wall ms", "times faster"], lines


def _memory(results: dict[str, Any]) -> tuple[list[str], list[list[str]]]:
    lines = [
        [case, _shown(key), f"{one['kb_per_edge']:.2f}", f"{one['largest_deviation_mb']:.0f}"]
        for case, found in results.items()
        for key, one in found["memory"].items()
    ]
    return ["case", "mode", "kB for each edge", "largest deviation from the line, MB"], lines


def _start(results: dict[str, Any]) -> tuple[list[str], list[list[str]]]:
    lines = []
    for case, found in results.items():
        for turn, one in found["first_step"].items():
            after = {name: one["wall"][name] - one["imports_wall"]["median"] for name in ("median", "min", "max")}
            lines.append([case, turn, *(_spread(shown) for shown in (one["wall"], after, one["cpu"]))])
    return ["case", "caches", "wall s from the start", "of these after the imports", "CPU s, compilers included"], lines


_TABLES = {
    "times": _times,
    "ops": _ops,
    "training": _training,
    "threads": _threads,
    "memory": _memory,
    "start": _start,
}
