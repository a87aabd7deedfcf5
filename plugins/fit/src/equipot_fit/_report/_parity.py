"""Predictions against labels, as densities: energies without those of atoms, forces (also by element), and others."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np

from equipot.quantities import ENERGY, FORCES
from equipot_fit._report._baseline import element_energies
from equipot_fit._report._html import Markup, gallery, joined, number, paragraph
from equipot_fit._report._pictures import BLACK, density, panel, picture, style
from equipot_fit._report._section import Data, Section

if TYPE_CHECKING:
    from equipot.evaluate import Compared, Evaluation
    from equipot_fit._report._subject import Subject

ELEMENTS = 6
"""Elements that get a panel: those with most atoms."""


def data(subject: Subject) -> Data:
    """Histograms of labels and predictions."""
    judged = subject.judged()
    panels: list[Data] = []
    shifts, origin = _shifts(subject)
    for quantity in dict.fromkeys(one.quantity for _, found in judged for one in found.compared):
        parts = [(found, one) for _, found in judged for one in found.compared if one.quantity == quantity]
        labels, predictions = (
            np.concatenate([getattr(one, key).numpy() for _, one in parts]) for key in ("labels", "predictions")
        )
        title, name = quantity.title, quantity.name
        if quantity.name == ENERGY:
            offsets = np.concatenate([_offsets(found, one, shifts) for found, one in parts])
            labels, predictions, title = labels - offsets, predictions - offsets, f"E − ΣE0 ({origin})"
        panels.append(_histogram(name, title, quantity.unit, labels, predictions))
    panels += _by_element(judged)
    return {"panels": panels, "origin": origin, "sets": [name for name, _ in judged]}


def _shifts(subject: Subject) -> tuple[dict[int, float], str]:
    """Energy in eV of an atom by atomic number, and what it is."""
    from ase.data import atomic_numbers

    info, shifts = subject.stored_model.info, subject.shifts()
    species = dict(zip(info.type_names, info.chemical_species or (), strict=False))
    if shifts and set(shifts) <= set(species):
        return {atomic_numbers[species[name]]: value for name, value in shifts.items()}, "E0: the model's shifts"
    fitted = element_energies(subject.sets.get("train"))
    return {number_: value * subject.ev for number_, value in fitted.items()}, "E0: fitted to the train set"


def _offsets(found: Evaluation, one: Compared, shifts: dict[int, float]) -> Any:
    """ΣE0 per atom, in meV."""
    numbers = [found.frames[index].numbers.tolist() for index in one.frames.tolist()]
    return np.array([1000.0 * float(np.mean([shifts.get(symbol, 0.0) for symbol in row])) for row in numbers])


def _by_element(judged: list[tuple[str, Evaluation]]) -> list[Data]:
    """Forces of each element, if there are several."""
    from ase.data import chemical_symbols

    forces = [one for _, found in judged for one in found.compared if one.name == FORCES]
    counts = Counter(int(symbol) for one in forces for symbol in one.elements.tolist())  # type: ignore[union-attr]
    if len(counts) < 2:
        return []
    panels = []
    for symbol, _ in counts.most_common(ELEMENTS):
        parts = [part for one in forces if (part := one.select(one.elements == symbol)) is not None]  # type: ignore[arg-type]
        labels, predictions = (
            np.concatenate([getattr(one, key).numpy() for one in parts]) for key in ("labels", "predictions")
        )
        title = f"forces on {chemical_symbols[symbol]}"
        panels.append(
            _histogram(f"forces_{chemical_symbols[symbol]}", title, forces[0].quantity.unit, labels, predictions)
        )
    return panels


def _histogram(name: str, title: str, unit: str, labels: Any, predictions: Any) -> Data:
    """Counts on a square grid; the unit becomes eV where numbers are large."""
    large = "meV" in unit and np.abs(labels).max() > 2000.0
    factor, shown = (1e-3, unit.replace("meV", "eV")) if large else (1.0, unit)
    error = predictions - labels
    low, high = (float(edge) for edge in (min(labels.min(), predictions.min()), max(labels.max(), predictions.max())))
    margin = 0.03 * (high - low) or 1.0
    number_of = int(np.clip(2.0 * np.sqrt(len(labels)), 24, 72))
    edges = np.linspace(low - margin, high + margin, number_of + 1) * factor
    counts = np.histogram2d(labels * factor, predictions * factor, bins=(edges, edges))[0].astype(int)
    where = np.argwhere(counts)
    slope = float(np.polyfit(labels, predictions, 1)[0]) if len(labels) > 2 and labels.std() > 0.0 else None
    return {
        "name": name, "title": title, "unit": shown, "low": float(edges[0]), "high": float(edges[-1]),
        "squares": number_of,
        "counts": [[int(x), int(y), int(counts[x, y])] for x, y in where], "values": len(labels),
        "rmse": float(np.sqrt((error**2).mean())), "mae": float(np.abs(error).mean()), "error_unit": unit,
        "slope": slope,
    }  # fmt: skip


def draw(data: Data) -> str:
    """A panel for each histogram."""
    about = "The darker, the more values; on the line, predictions equal labels."
    return joined([paragraph(about), gallery(_panel(one) for one in data["panels"])])


def _panel(one: Data) -> Markup:
    counts = np.zeros((one["squares"], one["squares"]), int)
    for x, y, count in one["counts"]:
        counts[x, y] = count
    edges = np.linspace(one["low"], one["high"], one["squares"] + 1)
    with style():
        figure, axes = panel(4.2, 3.4)
        density(axes, counts, (edges, edges))
        axes.plot([one["low"], one["high"]], [one["low"], one["high"]], color=BLACK, linewidth=0.7, zorder=1)
        axes.set_xlabel(f"label, {one['unit']}")
        axes.set_ylabel(f"prediction, {one['unit']}")
        axes.locator_params(nbins=5)
        axes.set_title(one["title"])
        numbers = f"MAE {number(one['mae'])}, RMSE {number(one['rmse'])} {one['error_unit']}, {one['values']} values"
        return picture(figure, f"Density of predictions against labels of {one['title']}: {numbers}", numbers)


SECTION = Section("parity", "Predictions against labels", data, draw, can_wait=True)
