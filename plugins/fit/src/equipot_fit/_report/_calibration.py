"""Uncertainties of the model against its errors: calibration curves of the judged sets."""

from __future__ import annotations

from typing import TYPE_CHECKING

from equipot_fit._report._html import Markup, gallery, joined, number, paragraph
from equipot_fit._report._pictures import BLACK, BLUE, panel, picture, style
from equipot_fit._report._section import Data, NotShownError, Section

if TYPE_CHECKING:
    from equipot_fit._report._subject import Subject


def data(subject: Subject) -> Data:
    """Calibrations by set and quantity."""
    panels = []
    for name, found in subject.judged():
        if found.uncertainties is None:
            raise NotShownError("The model predicts no standard deviations; 'equipot uncertainty add' gives it some.")
        for quantities in found.uncertainties.by_file.values():
            for quantity, one in quantities.items():
                panels.append(
                    {
                        "set": name, "quantity": quantity, "unit": found.uncertainties.units[quantity],
                        "curve": [[0.0, 0.0], *map(list, one.curve), [1.0, 1.0]], "rms_z": one.rms_z, "rmse": one.rmse,
                        "rms_std": one.rms_std, "within_1": one.within_1, "within_2": one.within_2,
                    }
                )  # fmt: skip
    return {"panels": panels}


def draw(data: Data) -> str:
    """A panel for each calibration."""
    about = (
        "Share of errors within the interval of standard deviations that a normal distribution has the share on the "
        "x axis of. On the diagonal uncertainties are right, below it too small. z is error / standard deviation."
    )
    return joined([paragraph(about), gallery(_panel(one) for one in data["panels"])])


def _panel(one: Data) -> Markup:
    with style():
        figure, axes = panel(3.4, 3.2)
        axes.plot([0.0, 1.0], [0.0, 1.0], color=BLACK, linewidth=0.7)
        axes.plot(*zip(*one["curve"], strict=True), color=BLUE, marker="o", markersize=3)
        axes.set_xlabel("share of normal errors")
        axes.set_ylabel("share of errors")
        axes.set_title(f"{one['quantity'].replace('_', ' ')}, {one['set']}")
        numbers = (
            f"rms z {one['rms_z']:.2f}; RMSE {number(one['rmse'])}, standard deviation {number(one['rms_std'])} "
            f"{one['unit']}; {one['within_1']:.0%} within one and {one['within_2']:.0%} within two"
        )
        return picture(figure, f"Calibration curve of {one['quantity']}: {numbers}", numbers)


SECTION = Section("calibration", "Uncertainties against errors", data, draw, can_wait=True)
