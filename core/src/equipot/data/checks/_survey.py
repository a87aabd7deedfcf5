"""One pass over the frames, from which all checks that fit nothing take their numbers.

Labels and compositions are taken from every frame, many at once. Distances take longer: where sets are large, evenly
drawn frames stand for the others, and what was drawn is said.
"""

from __future__ import annotations

import abc
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from equipot.data._collection import FrameCollection, LazyFrames
from equipot.data._frames import LabelContract
from equipot.data.checks._block import Block, FloatArray, IntArray, blocks
from equipot.data.checks._catalogue import Check, Finding
from equipot.fields import FIELDS
from equipot.units import Units, in_ev, unit_in

MOST_LAZY = 100_000
"""Frames of which labels and compositions are seen where each is read from its file; of more, evenly drawn ones."""

MOST_NEAR_FRAMES = 5_000
"""Frames whose distances are computed."""

MOST_NEAR_ATOMS = 500_000
"""Atoms whose distances are computed, estimated from a few frames."""

_ESTIMATED_FROM = 32
_KEPT = 1000


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What is known about the data besides the frames."""

    contract: LabelContract = field(default_factory=dict)
    """Labels, and where each is read from."""

    units: Units = "metal"
    """Unit system of the data."""

    used: Collection[str] | None = None
    """Labels that training or metrics use; None: all of the contract."""

    types: Collection[str] | None = None
    """Elements for which the model has a type; None if there is no model yet."""

    shifts: Mapping[str, float] | None = None
    """Energy of each element that the model starts from, in the unit of the data; None if they are not numbers yet."""

    read_keys: Collection[str] = ()
    """Keys besides those of labels that are read, e.g. of weights."""

    def is_used(self, label: str) -> bool:
        """Whether a label of the contract matters."""
        return label in self.contract and (self.used is None or label in self.used)

    def quantity(self, value: float, label: str = "total_energy", *, per: str = "", digits: int = 4) -> str:
        """A value with its unit, in the unit system of the data.

        Args:
            value: In the unit of the field, e.g. eV, eV/Å or eV/Å³.
            label: Whose unit it has.
            per: Added to the unit, e.g. ``/atom``.
            digits: How many are shown.
        """
        unit = FIELDS[label].unit
        return f"{value / in_ev(unit, self.units):.{digits}g} {unit_in(unit, self.units)}{per}"


@dataclass(frozen=True, kw_only=True)
class View:
    """The structure of one frame as arrays."""

    place: str
    numbers: IntArray
    """Atomic numbers, shape [n_atoms]."""
    positions: FloatArray
    """Å, shape [n_atoms, 3]."""
    cell: FloatArray
    """Å, shape [3, 3]."""
    pbc: npt.NDArray[np.bool_]

    @property
    def has_cell(self) -> bool:
        """Whether three cell vectors with a volume are given."""
        return bool(abs(np.linalg.det(self.cell)) > 1e-9)


class OnePass(abc.ABC):
    """One check, or several that need the same numbers.

    Args:
        asked: What is known besides the frames.
    """

    def __init__(self, asked: Asked) -> None:
        self.asked = asked

    @abc.abstractmethod
    def findings(self) -> Iterator[Finding]:
        """What was found in all frames."""


class LabelPass(OnePass):
    """It sees labels and compositions of all frames, many at once."""

    @abc.abstractmethod
    def see(self, block: Block) -> None:
        """Take the numbers of some frames."""


class NearPass(OnePass):
    """It computes distances, which takes longer, so that it sees single frames, and of large sets fewer."""

    @abc.abstractmethod
    def see(self, frame: View) -> None:
        """Take the numbers of one frame."""


class Places:
    """Where something was found: the number of places, and the first ones."""

    def __init__(self) -> None:
        self.count = 0
        self.first: list[str] = []

    def add(self, place: str) -> None:
        """Count one more."""
        self.count += 1
        if self.count <= _KEPT:
            self.first.append(place)

    def add_all(self, places: Sequence[str], chosen: npt.NDArray[np.bool_]) -> None:
        """Count those that are chosen.

        Args:
            places: Of all frames of a block.
            chosen: Shape [n_frames].
        """
        found = np.flatnonzero(chosen)
        self.first += [places[index] for index in found[: max(_KEPT - self.count, 0)].tolist()]
        self.count += len(found)

    def finding(self, check: Check, message: str, example: str = "") -> Finding:
        """What a check says about these places."""
        example = example or self.first[0]
        return Finding(check=check, count=self.count, example=example, message=message, places=tuple(self.first))


@dataclass(frozen=True)
class Drawn:
    """Which frames of each set are looked at."""

    frames: dict[str, range]
    """For labels and compositions."""
    near: dict[str, range]
    """For distances; a part of ``frames``."""
    total: int

    def __str__(self) -> str:
        seen, near = (sum(map(len, one.values())) for one in (self.frames, self.near))
        if seen == near == self.total:
            return f"all {self.total} frames"
        labels = "all" if seen == self.total else f"{seen} evenly drawn"
        return f"{self.total} frames: labels of {labels}, distances of {near} evenly drawn ones"


def draw(sets: Mapping[str, FrameCollection]) -> Drawn:
    """Choose the frames to look at, the same ones for the same sets.

    Args:
        sets: Frames by set.
    """
    sizes = {name: len(one.places) for name, one in sets.items()}
    total = sum(sizes.values())
    atoms = sum(_mean_atoms(one) * sizes[name] for name, one in sets.items())
    lazy = sum(sizes[name] for name, one in sets.items() if isinstance(one.frames, LazyFrames))
    step = max(1, -(-lazy // MOST_LAZY))
    more = max(total / MOST_NEAR_FRAMES, atoms / MOST_NEAR_ATOMS)
    near = step * max(1, int(np.ceil(more / step)))
    return Drawn(
        {name: range(0, size, step) for name, size in sizes.items()},
        {name: range(0, size, near) for name, size in sizes.items()},
        total,
    )


def _mean_atoms(collection: FrameCollection) -> float:
    """Mean number of atoms, from a few frames."""
    size = len(collection.places)
    chosen = range(0, size, max(1, size // _ESTIMATED_FROM))
    return float(np.mean([len(collection.frames[index]["positions"]) for index in chosen])) if size else 0.0


def survey(sets: Mapping[str, FrameCollection], checks: Sequence[OnePass], units: Units) -> Drawn:
    """Show the frames to the checks.

    Args:
        sets: Frames by set.
        checks: They keep what they see.
        units: Unit system of the data.

    Returns:
        Which frames were shown.
    """
    drawn = draw(sets)
    far = [check for check in checks if isinstance(check, LabelPass)]
    near = [check for check in checks if isinstance(check, NearPass)]
    for name, collection in sets.items():
        for block in blocks(collection, drawn.frames[name], name, units):
            for check in far:
                check.see(block)
        for index in drawn.near[name]:
            frame = view(collection, index)
            for one in near:
                one.see(frame)
    return drawn


def view(collection: FrameCollection, index: int) -> View:
    """The structure of one frame.

    Args:
        collection: A set.
        index: Of the frame.
    """
    frame = collection.frames[index]
    return View(
        place=collection.places[index],
        numbers=frame["atomic_numbers"].numpy(),
        positions=frame["positions"].numpy(),
        cell=frame["cell"][0].numpy(),
        pbc=frame["pbc"][0].numpy(),
    )
