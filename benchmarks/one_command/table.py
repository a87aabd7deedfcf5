"""The table of the docs."""

from __future__ import annotations

import json
from pathlib import Path
from statistics import median
from typing import Any

from data import SETS
from programs import PEERS

COLUMNS = ["set", "test", "model", "minutes", "energy MAE, meV/atom", "force MAE, meV/Å", "time used, s", "seeds"]


def write(results: Path, docs: Path) -> list[Path]:
    """Write the table, medians over seeds with the range behind.

    Args:
        results: Folder with one file for each training.
        docs: Folder that the directive ``equipot-results`` reads.
    """
    found = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(results.glob("*.json"))]
    if not found:
        return []
    rows = [row for name in SETS for row in _rows(name, [one for one in found if one["set"] == name])]
    missing = [name for name in SETS if not any(one["set"] == name for one in found)]
    first, days = found[0], sorted({one["machine"]["date"] for one in found})
    dates = [days[0], *days[1:][-1:]]
    made = {
        "title": "equipot fit, no option but time",
        "description": "Medians over seeds, with the range in brackets. H: no rule of fit was chosen by looking at "
        f"this set. Not run: {', '.join(missing) or 'none'}.",
        "columns": COLUMNS,
        "rows": rows,
        "command": "python benchmarks/one_command train",
        "machine": f"{first['machine']['cpu']}, {first['threads']} threads, {' to '.join(dates)}",
        "versions": {},
    }
    docs.mkdir(parents=True, exist_ok=True)
    path = docs / "fit.json"
    path.write_text(json.dumps(made, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return [path]


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
                        _shown([row["energy_mae"] for row in errors], 2),
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
