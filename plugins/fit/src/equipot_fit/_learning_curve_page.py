"""A learning curve as lines of text and as a page."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping
from typing import Any

from equipot import __version__
from equipot.errors import printable
from equipot_fit import _rules as rules
from equipot_fit._power_law import FARTHEST
from equipot_fit._report._html import Markup, element, escaped, gallery, joined, number, paragraph, table
from equipot_fit._report._page import page
from equipot_fit._report._pictures import BLUE, ORANGE, logarithmic, panel, picture, style

KINDS = {"rmse": "RMSE", "mae": "MAE"}
WIDTH, _COLUMN = 80, 14


def text(content: Mapping[str, Any]) -> Iterator[str]:
    """Lines of at most 80 columns: a table of the points, then what more frames are expected to give.

    Args:
        content: Of ``results.json``.
    """
    quantities = content["quantities"]
    named = [f"{one['title']} RMSE" for one in quantities.values()]
    yield f"{'frames':>8}{'seed':>6}" + "".join(f"{name:>{_COLUMN}}" for name in named)
    yield " " * 14 + "".join(f"{one['unit']:>{_COLUMN}}" for one in quantities.values())
    for point in _points(content):
        errors = (point["errors"].get(name) for name in quantities)
        cells = ("" if one is None else number(one["rmse"]) for one in errors)
        yield f"{point['frames']:>8}{point['seed']:>6}" + "".join(f"{cell:>{_COLUMN}}" for cell in cells)
    for line in notes(content):
        yield from textwrap.wrap(f"note: {printable(line)}", WIDTH, subsequent_indent="  ")
    for one in quantities.values():
        yield ""
        yield f"{one['title']}, RMSE in {one['unit']}:"
        for line in said_of(one["rmse"], content):
            yield from textwrap.wrap(line, WIDTH, initial_indent="  ", subsequent_indent="    ")


def said_of(law: Mapping[str, Any], content: Mapping[str, Any]) -> Iterator[str]:
    """What an extrapolation says, in sentences.

    Args:
        law: Of a quantity and a kind of error.
        content: Of ``results.json``.
    """
    if "refused" in law:
        yield f"no extrapolation: {law['refused']}"
        return
    yield f"falls as a n^-b + c with b {_between(law['b'])}, c {_between(law['c'])}"
    for one in law["ahead"]:
        yield f"with {one['frames']} frames: {_between(one)}"
    most = round(FARTHEST * content["sizes"][-1])
    for one in law["targets"]:
        yield f"to reach {number(one['error'])}: {_frames(one['frames'], most)}"


def _between(found: Mapping[str, float]) -> str:
    low, middle, high = (f"{found[name]:.3g}" for name in ("low", "middle", "high"))
    return f"{middle} ({low} to {high})"


def _frames(found: Mapping[str, float | None], most: int) -> str:
    """A number of frames with its range; beyond what is looked ahead it is only said that it is more."""
    low, middle, high = (
        f"more than {most}" if value is None else f"{float(f'{value:.2g}'):.0f}"
        for value in (found["low"], found["middle"], found["high"])
    )
    if middle == high == low:
        return f"{middle} frames, if at all"
    return f"about {middle} frames ({low} to {high})" if found["middle"] is not None else f"{middle} frames (or {low})"


def notes(content: Mapping[str, Any]) -> Iterator[str]:
    """What limits what the points say.

    Args:
        content: Of ``results.json``.
    """
    points = content["points"]
    sets = {point["set"] for point in points}
    if sets != {"test"}:
        yield f"errors on the {', '.join(sorted(sets))} set, which has chosen the best weights: there is no test set"
    steps = max((point["steps"] or 0 for point in points), default=0)
    if 0 < steps < rules.STEPS_WANTED:
        yield (
            f"the trainings had {steps} steps at most, {rules.STEPS_WANTED} are wanted: the errors show what the time "
            "allows rather than what the frames teach; more --minutes help"
        )
    few = min((point["set_frames"] for point in points), default=0)
    if 0 < few < 20:
        yield f"the errors are those of {few} frames, other ones may give quite different errors"


def _points(content: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return sorted(content["points"], key=lambda point: (point["frames"], point["seed"]))


# ---------------------------------------------------------------------------------------- page


def html(content: Mapping[str, Any]) -> str:
    """A page that needs nothing else.

    Args:
        content: Of ``results.json``.
    """
    quantities = content["quantities"]
    header = ["frames", "seed"]
    header += [f"{one['title']}, {KINDS[kind]}, {one['unit']}" for one in quantities.values() for kind in KINDS]
    header += ["steps", "minutes"]
    rows = []
    for point in _points(content):
        errors = [point["errors"].get(name, {}).get(kind) for name in quantities for kind in KINDS]
        rows.append((point["frames"], point["seed"], *errors, point["steps"], point["seconds"] / 60.0))
    curve: list[object] = [gallery(_figure(one, name, content) for name, one in quantities.items())]
    if listed := [element("li", one) for one in notes(content)]:
        curve.append(element("div", element("ul", joined(listed)), class_="warning"))
    ahead = []
    for one in quantities.values():
        for kind, shown in KINDS.items():
            ahead.append(element("h3", f"{one['title']}, {shown} in {one['unit']}"))
            ahead.append(element("ul", joined(element("li", line) for line in said_of(one[kind], content))))
    sections = [
        ("curve", "Errors by number of frames", escaped(joined([*curve, table(header, rows)]))),
        ("ahead", "What more frames would give", escaped(joined([paragraph(_ABOUT), *ahead]))),
        ("made", "How it was made", escaped(joined(paragraph(line) for line in _made(content)))),
    ]
    data = ", ".join(content["asked"]["data"])
    lead = f"{len(content['points'])} trainings on parts of {data}"
    return page("Learning curve", lead, sections, f"Made by equipot {__version__}. Numbers: results.json")


_ABOUT = (
    "Numbers in brackets: nine of ten curves that go through the points as well as these scatter lie between them. "
    "They hold for more frames of the same kind, for the same model, and for the same time of training; frames of "
    "another kind may help more, or less."
)


def _made(content: Mapping[str, Any]) -> Iterator[str]:
    model = ", ".join(f"{name} {value}" for name, value in content["size_of_model"].items())
    yield (
        f"{len(content['points'])} trainings of {content['minutes_each']:.1f} min each, {content['minutes']:g} min "
        f"in all. Each has the same model ({model}), the same validation and test frames, and the plan that equipot "
        "fit makes for this number of frames; plan.yaml in the folder of each training has it."
    )
    yield (
        "A smaller set of frames is a part of each larger one, and has all elements. Another seed takes other frames "
        "and other first weights."
    )


def _figure(one: Mapping[str, Any], name: str, content: Mapping[str, Any]) -> Markup:
    law = one["rmse"]
    shown = [point for point in _points(content) if name in point["errors"]]
    sizes, errors = ([point["frames"] for point in shown], [point["errors"][name]["rmse"] for point in shown])
    with style():
        figure, axes = panel()
        ends = f"from {number(errors[0])} to {number(errors[-1])} {one['unit']}"
        alt = f"RMSE of {one['title']} by number of frames, {ends}"
        if "refused" not in law:
            names = ("frames", "low", "middle", "high")
            x, low, middle, high = ([each[key] for each in law["curve"]] for key in names)
            axes.fill_between(x, low, high, color=BLUE, alpha=0.15, linewidth=0.0, label="nine of ten curves")
            axes.plot(x, middle, color=BLUE, linestyle="--", label="expected")
            alt += f", expected to be {number(law['ahead'][-1]['middle'])} with {law['ahead'][-1]['frames']} frames"
            axes.axvline(content["sizes"][-1], color="#888888", linestyle=":", linewidth=1.0)
        axes.plot(sizes, errors, color=ORANGE, linestyle="none", marker="o", markersize=4, label="trained")
        axes.set_xscale("log")
        axes.set_yscale("log")
        logarithmic(axes.xaxis)
        logarithmic(axes.yaxis)
        axes.set_xlabel("frames to learn from")
        axes.set_ylabel(f"RMSE, {one['unit']}")
        axes.set_title(one["title"])
        axes.legend()
        return picture(figure, alt)
