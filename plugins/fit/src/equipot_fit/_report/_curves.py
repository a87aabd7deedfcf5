"""Learning curves: errors of the train and validation sets, and the learning rate, by epoch."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from equipot.quantities import REPORTED
from equipot.units import Units
from equipot_fit._report._html import Markup, gallery, joined, number, paragraph
from equipot_fit._report._pictures import BLACK, BLUE, ORANGE, PURPLE, logarithmic, panel, picture, style
from equipot_fit._report._section import Data, NotShownError, Section

if TYPE_CHECKING:
    from equipot_fit._report._subject import Subject

POINTS = 300
"""Epochs that are kept of long runs."""

OBJECTIVE = "val0_epoch/weighted_sum"

Curve = list[tuple[float, float]]
"""Epoch (from 1) and value."""


def data(subject: Subject) -> Data:
    """Curves by quantity, learning rates, and the best epoch."""
    run = subject.run
    section = run.config.get("data")
    units: Units = "real" if isinstance(section, dict) and section.get("units") == "real" else "metal"
    rows = _training_rows(run.rows)
    curves = {}
    for one in REPORTED:
        found = _quantity(rows, one.name, one.factor(units))
        if found:
            curves[one.name] = {"title": one.title, "unit": one.unit, **found}
    if not curves:
        raise NotShownError(
            "The run has logged no errors by epoch (logs/metrics.csv); it may have been stopped before its first."
        )
    objective = _curve(rows, OBJECTIVE, 1.0)
    best = min(objective, key=lambda one: one[1]) if objective else None
    return {
        "curves": curves,
        "objective": thinned(objective),
        "best_epoch": None if best is None else best[0],
        "kept_epoch": _kept(subject),
        "epochs": max(one[0] for found in curves.values() for key in ("val", "train") for one in found.get(key, [])),
        "learning_rate": thinned(_rates(run.log, rows)),
    }


def _kept(subject: Subject) -> float | None:
    """Epoch of the weights in the package; None if that is not known."""
    try:
        epoch = subject.manifest.provenance.get("epoch")
    except NotShownError:
        return None
    return None if epoch is None else epoch + 1.0


def _training_rows(rows: Sequence[Mapping[str, str]]) -> list[Mapping[str, str]]:
    """Rows of the training, without those of the stages after it, whose number of the epoch is one too large."""
    trained = [
        _number(row.get("epoch")) for row in rows if any(row[key] for key in row if key.startswith("train_loss_"))
    ]
    last = max((one for one in trained if one is not None), default=math.inf)
    return [row for row in rows if (epoch := _number(row.get("epoch"))) is not None and epoch <= last]


def _number(text: str | None) -> float | None:
    try:
        value = float(text or "nan")
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _curve(rows: Sequence[Mapping[str, str]], column: str, factor: float, *, root: bool = False) -> Curve:
    """Values of a column by epoch; the last one of each epoch."""
    found: dict[float, float] = {}
    for row in rows:
        value, epoch = _number(row.get(column)), _number(row.get("epoch"))
        if value is not None and epoch is not None and value >= 0.0:
            found[epoch + 1.0] = (math.sqrt(value) if root else value) * factor
    return sorted(found.items())


def _quantity(rows: Sequence[Mapping[str, str]], name: str, factor: float) -> dict[str, Any]:
    """Root mean square errors where there are some, else mean absolute ones."""
    for kind in ("rmse", "mae"):
        val = _curve(rows, f"val0_epoch/{name}_{kind}", factor)
        train = _curve(rows, f"train_loss_epoch/{name}_{kind}", factor)
        if kind == "rmse" and not train:
            train = _curve(rows, f"train_loss_epoch/{name}_mse", factor, root=True)
        if val:
            return {"kind": kind.upper(), "val": thinned(val), "train": thinned(train)}
    return {}


_EPOCH = re.compile(r"^epoch (\d+)\b.*? lr ([0-9.eE+-]+)")


def _rates(log: str, rows: Sequence[Mapping[str, str]]) -> Curve:
    """Learning rate by epoch: of a monitor's column, else of the lines of the log."""
    columns = sorted({key for row in rows for key in row if key.startswith("lr-") and "/" not in key})
    if columns and (found := _curve(rows, columns[0], 1.0)):
        return found
    said = (_EPOCH.match(line) for line in log.splitlines())
    by_epoch = {float(one[1]): _number(one[2]) for one in said if one}
    return [(epoch, rate) for epoch, rate in sorted(by_epoch.items()) if rate is not None]


def thinned(curve: Curve) -> Curve:
    """At most ``POINTS`` points, first and last among them.

    Example:
        >>> len(thinned([(float(n), 1.0) for n in range(10_000)]))
        300
    """
    if len(curve) <= POINTS:
        return curve
    step = (len(curve) - 1) / (POINTS - 1)
    return [curve[round(number * step)] for number in range(POINTS)]


def draw(data: Data) -> str:
    """A panel for each quantity, and one for the learning rate."""
    best = data["best_epoch"]
    figures = [_panel(one, best) for one in data["curves"].values()]
    if len({rate for _, rate in data["learning_rate"]}) > 1:
        figures.append(_rate_panel(data["learning_rate"]))
    text = f"{data['epochs']:.0f} epochs"
    if best is not None:
        kept = data["kept_epoch"]
        text += f"; the best by the monitored sum of validation errors is epoch {best:.0f}"
        text += (
            ", whose weights are kept" if kept in (best, None) else f", and the weights of epoch {kept:.0f} are kept"
        )
    about = (
        "Errors of the train set are those of the loss, taken while the weights change; those of the validation set "
        "are of the averaged weights."
    )
    return joined([paragraph(f"{text}. {about}"), gallery(figures)])


def _panel(one: dict[str, Any], best: float | None) -> Markup:
    with style():
        figure, axes = panel()
        lines = (("val", "validation", BLUE, "-", "o"), ("train", "train", ORANGE, "--", "s"))
        for key, label, color, dashes, marker in lines:
            if points := one[key]:
                mark = marker if len(points) <= 30 else None
                axes.plot(
                    *zip(*points, strict=True), color=color, linestyle=dashes, marker=mark, markersize=3, label=label
                )
        if best is not None:
            axes.axvline(best, color=BLACK, linestyle=":", linewidth=1.0, label="best epoch")
        axes.set_yscale("log")
        logarithmic(axes.yaxis)
        axes.set_xlabel("epoch")
        axes.set_ylabel(f"{one['kind']}, {one['unit']}")
        axes.set_title(one["title"])
        axes.legend()
        last = one["val"][-1][1]
        ends = f"the {one['kind']} of the validation set ends at {number(last)} {one['unit']}"
        alt = f"Learning curve of {one['title']}: {ends}"
        return picture(figure, alt)


def _rate_panel(curve: Curve) -> Markup:
    with style():
        figure, axes = panel()
        axes.step(*zip(*curve, strict=True), where="post", color=PURPLE)
        axes.set_yscale("log")
        axes.set_xlabel("epoch")
        axes.set_title("learning rate")
        return picture(figure, f"Learning rate by epoch, from {curve[0][1]:.3g} to {curve[-1][1]:.3g}")


SECTION = Section("curves", "Learning curves", data, draw, can_wait=True)
