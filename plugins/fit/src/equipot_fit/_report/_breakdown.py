"""Errors by element, config type, file and size of the force."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import numpy as np

from equipot_fit._report._html import Markup, gallery, joined, table
from equipot_fit._report._pictures import BLUE, ORANGE, logarithmic, panel, picture, style
from equipot_fit._report._section import Data, Section

if TYPE_CHECKING:
    from equipot.evaluate import Evaluation, Group
    from equipot_fit._report._subject import Subject

SIZES = (0.0, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, np.inf)
"""Sizes of the force on an atom in eV/Å between which errors are counted together."""

SHOWN = 25
"""Groups that are listed; report.json has all."""


def data(subject: Subject) -> Data:
    """Errors of groups; where there are several sets, names of groups end in the set."""
    found: Data = {"by_element": {}, "by_config_type": {}, "by_file": {}, "by_force": []}
    judged = subject.judged()
    for name, one in judged:
        mark = f" ({name})" if len(judged) > 1 else ""
        for kind, groups in (
            ("by_element", one.by_element()),
            ("by_config_type", one.by_config_type()),
            ("by_file", one.by_file()),
        ):
            found[kind] |= {(key or "(none)") + mark: _group(group) for key, group in groups.items()}
    found["by_force"] = _by_force([one for _, one in judged])
    return found


def _group(group: Group) -> Data:
    return {"frames": group.n_frames, "errors": group.errors}


def _by_force(judged: list[Evaluation]) -> list[Data]:
    """Errors of forces by the size of the label."""
    sizes, errors = [], []
    for found in judged:
        for one in found.compared:
            if one.name == "forces":
                labels = one.labels.reshape(-1, 3).numpy() / 1000.0
                difference = (one.predictions - one.labels).reshape(-1, 3).numpy()
                sizes.append(np.linalg.norm(labels, axis=1))
                errors.append(difference)
    if not sizes:
        return []
    size, error = np.concatenate(sizes), np.concatenate(errors)
    rows = []
    for low, high in itertools.pairwise(SIZES):
        if (chosen := (size >= low) & (size < high)).any():
            part, of = error[chosen], size[chosen]
            vector = np.linalg.norm(part, axis=1)
            rows.append(
                {
                    "from": float(low), "to": None if np.isinf(high) else float(high), "atoms": int(chosen.sum()),
                    "mae": float(np.abs(part).mean()), "rmse": float(np.sqrt((part**2).mean())),
                    "mean_size": float(1000.0 * of.mean()),
                    "relative": float(vector.mean() / (1000.0 * max(of.mean(), 1e-9))),
                }
            )  # fmt: skip
    return rows


def draw(data: Data) -> str:
    """Tables, and a picture of errors by force."""
    parts: list[object] = []
    if data["by_element"]:
        parts += _elements(data["by_element"])
    for kind, title in (("by_config_type", "config type"), ("by_file", "file")):
        if len(data[kind]) > 1:
            parts.append(_groups(data[kind], title))
    if data["by_force"]:
        parts += [gallery([_force_panel(data["by_force"])]), _force_table(data["by_force"])]
    return joined(parts or ["Energies alone, of one kind of frames: there is nothing to break down."])


def _elements(groups: Data) -> list[Markup]:
    """A table for each quantity of atoms."""
    tables = []
    for name in dict.fromkeys(name for one in groups.values() for name in one["errors"]):
        having = {element: one for element, one in groups.items() if name in one["errors"]}
        rows = []
        for element, one in list(having.items())[:SHOWN]:
            errors = one["errors"][name]
            rows.append((element, one["frames"], *(errors[kind] for kind in ("mae", "rmse", "max", "values"))))
        unit = next(one["errors"][name]["unit"] for one in having.values())
        header = ("element", "frames", f"MAE, {unit}", f"RMSE, {unit}", f"largest, {unit}", "values")
        tables.append(table(header, rows, caption=f"{name.capitalize()} by element{_more(having)}"))
    return tables


def _groups(groups: Data, title: str) -> Markup:
    kinds = list(dict.fromkeys(name for one in groups.values() for name in one["errors"]))
    units = {name: errors["unit"] for one in groups.values() for name, errors in one["errors"].items()}
    titles = {name: f"{name.replace('per_atom_', '')} MAE / RMSE, {units[name]}" for name in kinds}
    rows = []
    for name, one in list(groups.items())[:SHOWN]:
        cells: list[Any] = [
            f"{one['errors'][kind]['mae']:.4g} / {one['errors'][kind]['rmse']:.4g}" if kind in one["errors"] else None
            for kind in kinds
        ]
        rows.append((name, one["frames"], *cells))
    return table((title, "frames", *titles.values()), rows, caption=f"Errors by {title}" + _more(groups))


def _more(groups: Data) -> str:
    return f" (the first {SHOWN} of {len(groups)}; all are in report.json)" if len(groups) > SHOWN else ""


def _range(row: Data) -> str:
    return f"{row['from']:g} to {row['to']:g}" if row["to"] is not None else f"above {row['from']:g}"


def _force_table(rows: list[Data]) -> Markup:
    cells = [(_range(row), row["atoms"], row["mae"], row["rmse"], f"{100 * row['relative']:.3g} %") for row in rows]
    header = ("|F| of the label, eV/Å", "atoms", "MAE, meV/Å", "RMSE, meV/Å", "|ΔF| / |F|")
    return table(header, cells, caption="Forces by their size")


def _force_panel(rows: list[Data]) -> Markup:
    with style():
        figure, axes = panel()
        sizes = [row["mean_size"] / 1000.0 for row in rows]
        axes.plot(sizes, [row["rmse"] for row in rows], color=BLUE, marker="o", label="RMSE")
        axes.plot(sizes, [row["mae"] for row in rows], color=ORANGE, marker="s", linestyle="--", label="MAE")
        axes.set_xscale("log", base=2)
        axes.set_yscale("log")
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
        logarithmic(axes.yaxis)
        axes.set_xlabel("|F| of the label, eV/Å")
        axes.set_ylabel("error, meV/Å")
        axes.set_title("forces by their size")
        axes.legend()
        return picture(
            figure, f"Errors of forces by their size, from {rows[0]['rmse']:.3g} to {rows[-1]['rmse']:.3g} meV/Å"
        )


SECTION = Section("breakdown", "Errors by element, kind and size", data, draw, can_wait=True)
