"""The frames with the largest errors, drawn."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from equipot_fit._report._geometry import structure_of
from equipot_fit._report._html import Markup, gallery, joined, paragraph
from equipot_fit._report._pictures import BLACK, RED, picture, style
from equipot_fit._report._section import Data, Section

if TYPE_CHECKING:
    from equipot.evaluate import Evaluation, Worst
    from equipot_fit._report._subject import Subject

EACH = 3
"""Frames of each quantity."""

SCALE = 0.7
"""Radii of the drawn atoms, in covalent radii."""

SYMBOLS = 60
"""Atoms of a frame whose symbols are written."""

LARGEST = 2000
"""Atoms of a frame that is drawn."""


def data(subject: Subject) -> Data:
    """Geometry and errors of the worst frames by quantity, each frame once for each quantity."""
    found: list[tuple[float, Data]] = []
    for name, one in subject.judged():
        by_place = {frame.place: frame for frame in one.frames}
        units = {part.name: part.quantity for part in one.compared}
        for quantity, worst in one.worst(EACH).items():
            for item in worst:
                frame = structure_of(by_place[item.place].frame)
                entry = {"set": name, "quantity": units[quantity].title, "unit": units[quantity].unit}
                entry |= _entry(item, frame, _errors(one, item.place))
                found.append((abs(item.error), entry))
    kept: list[Data] = []
    for quantity in dict.fromkeys(one["quantity"] for _, one in found):
        ordered = sorted((one for one in found if one[1]["quantity"] == quantity), key=lambda one: -one[0])
        kept += [one for _, one in ordered[:EACH]]
    return {"frames": kept}


def _errors(found: Evaluation, place: str) -> list[float]:
    """Size of the error of the force on each atom of a frame, meV/Å; empty without forces."""
    index = next(number for number, one in enumerate(found.frames) if one.place == place)
    for one in found.compared:
        if one.name == "forces":
            chosen = one.select(one.frames == index)
            if chosen is not None and chosen.labels.numel() == 3 * len(found.frames[index].numbers):
                error = (chosen.predictions - chosen.labels).reshape(-1, 3)
                return [float(value) for value in error.norm(dim=1)]
    return []


def _entry(item: Worst, atoms: Any, errors: list[float]) -> Data:
    file, _, frame = item.place.rpartition(", frame ")
    return {
        "file": file, "frame": frame, "error": item.error, "atom": item.atom, "formula": atoms.get_chemical_formula(),
        "atoms": len(atoms), "numbers": atoms.numbers.tolist(), "positions": np.round(atoms.positions, 4).tolist(),
        "cell": np.round(atoms.cell.array, 4).tolist(), "pbc": atoms.pbc.tolist(),
        "force_errors": np.round(errors, 2).tolist(),
    }  # fmt: skip


def draw(data: Data) -> str:
    """A picture of each."""
    about = (
        "A ring marks the atom with the largest error of its force, and a number its index; atoms are coloured by "
        "element and, in frames of at most 60 atoms, have its symbol. Files and indices (from 0) are those of the data."
    )
    return joined([paragraph(about), gallery(_figure(one) for one in data["frames"])])


def _figure(one: Data) -> Markup:
    sign = "+" if one["error"] > 0 else "−"
    error = f"{one['quantity']} {sign}{abs(one['error']):.4g} {one['unit']}"
    atom = "" if one["atom"] is None else f", atom {one['atom']}"
    caption = f"{error}: {one['file']}, frame {one['frame']}{atom} ({one['formula']}, {one['set']})"
    if one["atoms"] > LARGEST:
        return Markup(paragraph(f"{caption}; too large to be drawn"))
    with style():
        return picture(_drawn(one), f"Structure with a large error, {caption}", caption)


def _drawn(one: Data) -> Any:
    from ase import Atoms
    from ase.data import covalent_radii
    from ase.visualize.plot import Matplotlib
    from matplotlib.figure import Figure
    from matplotlib.patches import Circle

    atoms = Atoms(numbers=one["numbers"], positions=one["positions"], cell=one["cell"], pbc=one["pbc"])
    rotation = "12x,-18y,0z"
    if not atoms.pbc.any():
        atoms.set_cell(None)
        atoms.set_positions(_flat(atoms.positions))
        rotation = ""
    figure = Figure(figsize=(3.4, 2.7))
    axes: Any = figure.add_axes((0.0, 0.0, 1.0, 1.0))
    writer = Matplotlib(
        atoms,
        axes,
        rotation=rotation,
        radii=SCALE * covalent_radii[atoms.numbers],
        show_unit_cell=2 if atoms.pbc.any() else 0,
    )
    writer.write()
    axes.set_axis_off()
    drawn = writer.positions[: len(atoms)]  # what follows is the cell
    places, sizes = drawn[:, :2], SCALE * covalent_radii[atoms.numbers]
    if len(atoms) <= SYMBOLS:
        for symbol, (x, y), depth in zip(atoms.symbols, places, drawn[:, 2], strict=True):
            axes.text(x, y, symbol, ha="center", va="center", fontsize=7, color=BLACK, zorder=3 + 1e-3 * depth)
    marked = one["atom"] if one["atom"] is not None else _largest(one["force_errors"])
    if marked is not None:
        (x, y), size = places[marked], sizes[marked] + 0.12
        axes.add_patch(Circle((x, y), size, fill=False, edgecolor=RED, linewidth=2.2, zorder=5))
        axes.text(x + 0.8 * size, y + 0.8 * size, str(marked), color=RED, fontsize=9, weight="bold", zorder=6)
    axes.set_xlim(-0.4, writer.w + 0.4)
    axes.set_ylim(-0.4, writer.h + 0.4)
    return figure


def _largest(errors: list[float]) -> int | None:
    return int(np.argmax(errors)) if errors else None


def _flat(positions: Any) -> Any:
    """Positions seen along the direction in which they differ least."""
    centred = positions - positions.mean(axis=0)
    return centred @ np.linalg.svd(centred, full_matrices=True)[2].T if len(positions) > 1 else centred


SECTION = Section("worst", "Worst frames", data, draw, can_wait=True)
