"""Tables and plot of what was trained."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import sets
from models import MODELS

COLUMNS = [
    "model",
    "CPU minutes",
    "epochs",
    "energy MAE, meV/atom",
    "force MAE, meV/Å",
    "µs for an atom and step",
    "front",
]


def write(results: Path, docs: Path) -> list[Path]:
    """Write one table for each set, and the plot.

    Args:
        results: Folder with one file for each training.
        docs: Folder that the directive ``equipot-results`` reads.
    """
    found = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(results.glob("*.json"))]
    docs.mkdir(parents=True, exist_ok=True)
    written = []
    for name, one in sets.SETS.items():
        rows = [row for row in found if row["set"] == name]
        if not rows:
            continue
        front = _front(rows)
        missing = sorted(set(MODELS) - {row["model"] for row in rows})
        table = {
            "title": one.title,
            "description": f"Not trained: {', '.join(missing) or 'none'}.",
            "columns": COLUMNS,
            "rows": [_row(row, front) for row in sorted(rows, key=lambda row: (row["minutes"], row["forces_mae"]))],
            "command": "python benchmarks/pareto train",
            "machine": f"{rows[0]['machine']['cpu']}, one thread, {rows[0]['machine']['date']}",
            "versions": {name: version for row in rows for name, version in row["versions"].items()},
        }
        path = docs / f"{name}.json"
        path.write_text(json.dumps(table, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        written.append(path)
    if found:
        _plot(found, docs / "pareto.svg")
        written.append(docs / "pareto.svg")
    return written


def _row(row: dict[str, Any], front: set[str]) -> list[str]:
    return [
        MODELS[row["model"]].title,
        f"{_minutes(row):g}",
        str(row["epochs"] if row["epochs"] is not None else ""),
        f"{row['energy_mae']:.2f}",
        f"{row['forces_mae']:.1f}",
        f"{row['us_per_atom']:.0f}",
        "●" if _key(row) in front else "",
    ]


def _minutes(row: dict[str, Any]) -> float:
    """What a training was given, or what a fit that ends by itself took."""
    minutes: float = round(row["training_cpu_s"] / 60.0, 1) if MODELS[row["model"]].is_fit else row["minutes"]
    return minutes


def _key(row: dict[str, Any]) -> str:
    return f"{row['model']} {row['minutes']}"


def _front(rows: list[dict[str, Any]]) -> set[str]:
    """Those that no other beats in both error and time."""
    return {
        _key(row)
        for row in rows
        if not any(
            other["forces_mae"] <= row["forces_mae"] and other["us_per_atom"] < row["us_per_atom"] for other in rows
        )
    }


def _plot(rows: list[dict[str, Any]], path: Path) -> None:
    from matplotlib.figure import Figure

    there = [name for name in sets.SETS if any(row["set"] == name for row in rows)]
    lines = 2 if len({row["minutes"] for row in rows}) > 1 else 1  # one time makes no curve
    figure = Figure(figsize=(5.0 * len(there), 4.0 * lines + 1.0), layout="constrained")
    axes: Any = figure.subplots(lines, len(there), squeeze=False)
    shown = [model for model in MODELS if any(row["model"] == model for row in rows)]
    style = {model: {"color": f"C{index % 10}", "marker": "os^Dv"[index // 10]} for index, model in enumerate(shown)}
    points: dict[str, Any] = {}
    for column, name in enumerate(there):
        for model in shown:
            own = [row for row in rows if (row["set"], row["model"]) == (name, model)]
            if not own:
                continue
            own.sort(key=lambda row: row["minutes"])
            errors = [row["forces_mae"] for row in own]
            (points[model],) = axes[0][column].loglog([own[-1]["us_per_atom"]], errors[-1:], ls="", **style[model])
            if lines > 1:
                axes[1][column].loglog([_minutes(row) for row in own], errors, **style[model])
        axes[0][column].set(title=sets.SETS[name].title, xlabel="µs for an atom and step", ylabel="force MAE, meV/Å")
        if lines > 1:
            axes[1][column].set(xlabel="CPU minutes of training", ylabel="force MAE, meV/Å")
    titles = [MODELS[model].title for model in points]
    figure.legend(points.values(), titles, loc="outside lower center", ncols=2, fontsize=8)
    figure.savefig(path, metadata={"Date": None})
