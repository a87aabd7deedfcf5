"""Energy of a periodic frame at other volumes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from equipot_fit._report._geometry import atoms_of, energies_in_ev
from equipot_fit._report._html import gallery, joined, paragraph
from equipot_fit._report._pictures import BLUE, panel, picture, style
from equipot_fit._report._section import Data, NotShownError, Section

if TYPE_CHECKING:
    from equipot.data import FrameCollection
    from equipot.evaluate import EvaluatedFrame
    from equipot_fit._report._subject import Subject

POINTS = 13
RANGE = (0.80, 1.25)
"""Volumes, relative to that of the frame."""

LARGEST = 200
"""Atoms of the frame."""

LOOKED_AT = 500
"""Frames of the train set whose volumes are taken."""


def data(subject: Subject) -> Data:
    """Energies per atom by volume per atom, the range of the train set, and where the minimum is."""
    frames = [one for one in subject.frames() if bool(one.frame["pbc"].all()) and len(one.numbers) <= LARGEST]
    if not frames:
        raise NotShownError("No frame is periodic in all directions, so there is no volume to change.")
    chosen = min(frames, key=_energy)
    atoms = atoms_of(chosen)
    factors = np.linspace(*RANGE, POINTS)
    strained = []
    for factor in factors:
        copy = atoms.copy()
        copy.set_cell(atoms.cell.array * factor ** (1.0 / 3.0), scale_atoms=True)
        strained.append(copy)
    energies = energies_in_ev(subject.model, strained) / len(atoms)
    volumes = _volumes(subject.sets.get("train"))
    return {
        "place": chosen.place, "formula": atoms.get_chemical_formula(), "atoms": len(atoms),
        "volume": (factors * atoms.get_volume() / len(atoms)).round(5).tolist(),
        "energy_mev": (1000.0 * (energies - energies.min())).round(4).tolist(),
        "own_volume": float(atoms.get_volume() / len(atoms)),
        "train_volumes": [min(volumes), max(volumes)] if volumes else None,
    }  # fmt: skip


def _volumes(train: FrameCollection | None) -> list[float]:
    """Volumes per atom of a sample of the periodic frames, Å³."""
    if train is None:
        return []
    step = max(1, len(train.places) // LOOKED_AT)
    chosen = [train.frames[index] for index in range(0, len(train.places), step) if not train.isolated[index]]
    periodic = [frame for frame in chosen if bool(frame["pbc"].all())]
    return [float(frame["cell"][0].det().abs()) / len(frame["atomic_numbers"]) for frame in periodic]


def _energy(one: EvaluatedFrame) -> float:
    """Predicted energy per atom."""
    return float(one.predictions["total_energy"][0]) / len(one.numbers)


def draw(data: Data) -> str:
    """A curve."""
    with style():
        figure, axes = panel()
        if data["train_volumes"]:
            axes.axvspan(*data["train_volumes"], color="#e4eef6", zorder=0, label="volumes of the train set")
        axes.plot(data["volume"], data["energy_mev"], color=BLUE, marker="o", markersize=4, label="model")
        axes.axvline(data["own_volume"], color="#222222", linestyle=":", label="the frame itself")
        axes.set_xlabel("volume per atom, Å³")
        axes.set_ylabel("energy per atom, meV")
        axes.set_title(data["formula"])
        axes.legend()
        lowest = data["volume"][int(np.argmin(data["energy_mev"]))]
        image = picture(figure, f"Energy by volume of {data['formula']}, lowest at {lowest:.3g} Å³ per atom")
    about = (
        f"All distances of one frame ({data['place']}, of those evaluated the one with the lowest energy per atom) are "
        "scaled alike, also those within molecules. The curve should be smooth with one minimum."
    )
    return joined([paragraph(about), gallery([image])])


SECTION = Section("volume", "Energy and volume", data, draw, can_wait=True)
