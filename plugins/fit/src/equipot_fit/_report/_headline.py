"""The errors first, with those of a predictor that learnt nothing but energies of compositions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from equipot_fit._report._baseline import element_energies, label_noise, not_learnt, trivial_errors
from equipot_fit._report._html import Markup, element, joined, number, paragraph, table
from equipot_fit._report._section import Data, Section

if TYPE_CHECKING:
    from equipot.evaluate import Evaluation
    from equipot_fit._report._subject import Subject


def data(subject: Subject) -> Data:
    """Errors by set and quantity; ``headline`` names the sets that count."""
    energies = element_energies(subject.sets.get("train"))
    names = subject.judged_sets
    sets = {name: _set(subject, name, found, energies) for name, found in subject.evaluations.items()}
    return {"headline": names, "sets": sets, "units": subject.data.units, "changed_files": subject.changed_files}


def _set(subject: Subject, name: str, found: Evaluation, energies: dict[int, float]) -> dict[str, Any]:
    import numpy as np

    noise = label_noise(found, subject.data.units)
    quantities = {}
    for one in found.compared:
        errors = one.errors()
        row: dict[str, Any] = {"title": one.quantity.title, "unit": one.quantity.unit}
        row |= {kind: errors[kind] for kind in ("mae", "rmse", "max", "values")}
        row["label_std"] = float(one.labels.std(correction=0))
        trivial = trivial_errors(found, one, energies)
        if trivial is not None:
            row["trivial_mae"] = float(np.abs(trivial).mean())
            row["trivial_rmse"] = float(np.sqrt((trivial**2).mean()))
            row["not_learnt"] = not_learnt(one.quantity, row["mae"], row["trivial_mae"])
        quantities[one.name] = row | ({"noise": noise[one.name]} if one.name in noise else {})
    return {"frames": found.n_frames, "of": len(subject.sets[name].places), "quantities": quantities}


def draw(data: Data) -> str:
    """One large number for each quantity, and a table of all sets."""
    parts: list[object] = []
    if data["changed_files"]:
        files = ", ".join(data["changed_files"])
        what = (
            f"The data files are not those of the training any more ({files}): the errors here may be of other frames."
        )
        parts.append(element("p", what, class_="warning"))
    for name in data["headline"]:
        said = [row["not_learnt"] for row in data["sets"][name]["quantities"].values() if row.get("not_learnt")]
        parts += [element("p", f"{_said(name)}, {text}", class_="warning") for text in said]
        parts.append(_cards(name, data["sets"][name]))
    parts.append(_table(data))
    parts.append(paragraph(_explained(data)))
    return joined(parts)


def _cards(name: str, one: dict[str, Any]) -> Markup:
    cards = []
    for row in one["quantities"].values():
        value = Markup(f'<span class="value">{number(row["mae"])}</span> {row["unit"]}')
        beside = ""
        if "trivial_mae" in row:
            beside = f"trivial predictor: {number(row['trivial_mae'])}, {_times(row['trivial_mae'], row['mae'])}"
        cards.append(
            element(
                "div",
                joined([element("div", f"{row['title']}, MAE"), element("div", value), element("small", beside)]),
                class_="card",
            )
        )
    heading = element("h3", f"{_said(name)}: {_frames(one)}")
    return joined([heading, element("div", joined(cards), class_="cards")])


def _times(trivial: float, error: float) -> str:
    if trivial < error:
        return "less: the model is worse"
    return f"{trivial / error:.3g} × as large" if error > 0.0 else "and the model has no error"


def _frames(one: dict[str, Any]) -> str:
    return (
        f"{one['frames']} frames"
        if one["frames"] == one["of"]
        else f"a sample of {one['frames']} of {one['of']} frames"
    )


def _said(name: str) -> str:
    """A set in words."""
    kind, digits = name.rstrip("0123456789"), name[len(name.rstrip("0123456789")) :]
    words = {"test": "Test set", "val": "Validation set", "train": "Train set"}.get(kind, name)
    return f"{words} {int(digits) + 1}" if digits not in ("", "0") else words


def _table(data: Data) -> Markup:
    rows = []
    for name, one in data["sets"].items():
        for row in one["quantities"].values():
            noise = row.get("noise", {}).get("rms")
            rows.append(
                (
                    f"{_said(name)}, {row['title']} ({row['unit']})", row["mae"], row["rmse"], row["max"],
                    row.get("trivial_mae"), row.get("trivial_rmse"), row["label_std"],
                    None if noise is None else f"≥ {number(noise)}", row["values"],
                )
            )  # fmt: skip
    header = (
        "",
        "MAE",
        "RMSE",
        "largest",
        "trivial MAE",
        "trivial RMSE",
        "spread of labels",
        "noise of labels",
        "values",
    )
    return table(header, rows, caption="Errors: prediction minus label")


def _explained(data: Data) -> str:
    noise = {
        f"{row['title']}: {row['noise']['from']}"
        for one in data["sets"].values()
        for row in one["quantities"].values()
        if "noise" in row
    }
    text = (
        "Trivial: a predictor with an energy for each element, fitted to the compositions of the train set, and zero "
        "for forces, stress and other vectors and tensors. Spread: standard deviation of the labels. Isolated atoms "
        "are part of no error. "
    )
    if noise:
        return f"{text}Noise is what the labels themselves show of it, a lower bound ({'; '.join(sorted(noise))})."
    return f"{text}The labels show no noise of their own: forces sum to zero, and numbers are not rounded visibly."


SECTION = Section("errors", "Errors", data, draw)
