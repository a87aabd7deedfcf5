"""The tables of the docs."""

from __future__ import annotations

import json
from pathlib import Path
from statistics import median
from typing import Any

from data import SETS
from programs import BY_HAND, PEERS

COLUMNS = ["set", "test", "model", "minutes", "energy MAE, meV/atom", "force MAE, meV/Å", "time used, s", "seeds"]


MANY_MINUTES = 2.0
"""CPU minutes of the trainings on all sets."""

MANY_COLUMNS = [
    *(
        "set",
        "test",
        "frames learnt",
        f"CPU s used of {60.0 * MANY_MINUTES:g}",
        "energy MAE, meV/atom",
        "compositions alone",
    ),
    *("force MAE, meV/Å", "zero forces", "by hand: energy", "by hand: forces", "seeds"),
]


def write(results: Path, docs: Path) -> list[Path]:
    """Write the tables: one with medians over seeds, the range behind, and one of all sets after the same CPU time.

    Args:
        results: Folder with one file for each training.
        docs: Folder that the directive ``equipot-results`` reads.
    """
    found = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(results.glob("*.json"))]
    many = [one for one in found if _time(one) == (MANY_MINUTES, True)]
    beside = [one for one in found if _time(one) != (MANY_MINUTES, True)]
    paths = []
    if beside:
        missing = [name for name in SETS if not any(one["set"] == name for one in found)]
        text = (
            "Medians over seeds, with the range in brackets. H: no rule of fit was chosen by looking at "
            f"this set. Not run: {', '.join(missing) or 'none'}."
        )
        made = {"title": "equipot fit, no option but time", "description": text, "columns": COLUMNS}
        made["rows"] = [row for name in SETS for row in _rows(name, [one for one in beside if one["set"] == name])]
        paths.append(_written(made, beside, docs / "fit.json", "python benchmarks/one_command train"))
    if rows := [row for name in SETS for row in _many(name, [one for one in many if one["set"] == name])]:
        options = ", ".join(f"`{' '.join(words)}`" for words in BY_HAND.values())
        text = (
            "The same for every set: two CPU minutes, no other option. Compositions alone: a least squares "
            "fit of energies of elements. By hand: the smallest errors of the same command with one of the options "
            f"{options}, where these were run. H: as above."
        )
        made = {"title": "Many sets, two minutes each", "description": text, "columns": MANY_COLUMNS, "rows": rows}
        command = f"python benchmarks/one_command train --programs fit --minutes {MANY_MINUTES:g} --cpu --threads 1"
        paths.append(_written(made, many, docs / "many.json", command))
    return paths


def _written(made: dict[str, Any], found: list[dict[str, Any]], path: Path, command: str) -> Path:
    """A table as a file, with where its results come from."""
    days = sorted({one["machine"]["date"] for one in found})
    dates = " to ".join([days[0], *days[1:][-1:]])
    cpus = sorted({one["machine"]["cpu"] for one in found})
    threads = sorted({one["threads"] for one in found})
    machine = f"{' or '.join(cpus)}, {' or '.join(map(str, threads))} thread{'s' * (threads != [1])}, {dates}"
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps({**made, "command": command, "machine": machine, "versions": {}}, indent=1, ensure_ascii=False)
    path.write_text(text + "\n", encoding="utf-8")
    return path


def _many(name: str, found: list[dict[str, Any]]) -> list[list[str]]:
    """Rows of a set in the table of all sets, one for each of its tests."""
    fits = [one for one in found if one["program"] == "fit"]
    by_hand = [one for one in found if one["program"] in BY_HAND]
    rows = []
    for test in SETS[name].tests if fits else ():
        errors, known = [one["errors"][test] for one in fits], fits[0]["trivial"][test]
        frames = fits[0]["fit"]["step_seconds"]["frames"]
        rows.append(
            [
                SETS[name].title + (" (H)" if SETS[name].held_out else ""),
                test,
                str(frames["train"] + frames["val"]),
                _shown([one["seconds"] for one in fits], 0),
                _shown([one["energy_mae"] for one in errors], 2),
                _shown([known["energy_mae"]], 1),
                _shown([one["forces_mae"] for one in errors], 1),
                _shown([known.get("forces_mae")], 1),
                _best(by_hand, test, "energy_mae", 2),
                _best(by_hand, test, "forces_mae", 1),
                str(len(fits)),
            ]
        )
    return rows


def _best(found: list[dict[str, Any]], test: str, key: str, digits: int) -> str:
    """The smallest error, and which option had it."""
    there = [(one["errors"][test][key], one["program"]) for one in found if one["errors"][test][key] is not None]
    if not there:
        return ""
    error, program = min(there)
    return f"{error:.{digits}f} ({program})"


def _rows(name: str, found: list[dict[str, Any]]) -> list[list[str]]:
    rows = []
    one = SETS[name]
    for test in one.tests:
        for program, title in (("fit", "equipot fit"), *((key, peer.title) for key, peer in PEERS.items())):
            for minutes, cpu in sorted({_time(row) for row in found if row["program"] == program}):
                own = [row for row in found if (row["program"], *_time(row)) == (program, minutes, cpu)]
                errors = [row["errors"][test] for row in own]
                rows.append(
                    [
                        one.title + (" (H)" if one.held_out else ""),
                        test,
                        title,
                        f"{minutes:g}{' CPU' * cpu}",
                        _shown([row["energy_mae"] for row in errors], 2) or "no epoch was finished",
                        _shown([row["forces_mae"] for row in errors], 1),
                        _shown([row["seconds"] for row in own], 0),
                        str(len(own)),
                    ]
                )
    if rows and one.published:
        rows.append([one.title, "", f"published: {one.published}", "", "", "", "", ""])
    return rows


def _time(row: dict[str, Any]) -> tuple[float, bool]:
    """Minutes, and whether they are those of the processor."""
    return row["minutes"], row.get("cpu", False)


def _shown(values: list[float | None], digits: int) -> str:
    there = [value for value in values if value is not None]
    if not there:
        return ""
    text = f"{median(there):.{digits}f}"
    return text if len(there) == 1 else f"{text} ({min(there):.{digits}f}-{max(there):.{digits}f})"
