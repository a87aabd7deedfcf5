"""Many frames side by side in arrays, for checks that look at all frames at once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from equipot.data._collection import Composition, FrameCollection
from equipot.data._frames import LabelReport
from equipot.data._isolated import is_alone
from equipot.data._packed import PackedFrames, Packer
from equipot.fields import LABELS, mask_key
from equipot.graph import per_what
from equipot.units import Units, in_ev

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]

_AT_ONCE = 4096


@dataclass(frozen=True, kw_only=True)
class Block:
    """Frames of one set, with energies in eV in every unit system."""

    set_name: str
    places: Sequence[str]
    counts: IntArray
    """Number of atoms of each frame, at least one; shape [n_frames]."""
    numbers: IntArray
    """Atomic numbers of all atoms, frame by frame, shape [n_atoms]."""
    positions: FloatArray
    """Å, shape [n_atoms, 3]."""
    cells: FloatArray
    """Å, shape [n_frames, 3, 3]."""
    pbc: BoolArray
    """Shape [n_frames, 3]."""
    labels: Mapping[str, FloatArray]
    """Labels in the units of their fields (eV, eV/Å, …), one row for each frame or atom; NaN where masked or absent."""
    compositions: Sequence[Composition]
    reports: Sequence[Mapping[str, LabelReport]]
    keys: Sequence[Sequence[str]]
    marked: BoolArray
    """Whether the file says that the frame is an isolated atom, shape [n_frames]."""
    alone: BoolArray
    """Whether it is one, shape [n_frames]."""

    def __len__(self) -> int:
        return len(self.counts)

    @cached_property
    def starts(self) -> IntArray:
        """Row of the first atom of each frame, shape [n_frames]."""
        return np.cumsum(self.counts) - self.counts

    @cached_property
    def frame_of(self) -> IntArray:
        """Frame of each atom, shape [n_atoms]."""
        return np.repeat(np.arange(len(self)), self.counts)

    def of_frames(self, function: np.ufunc, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Combine values of atoms in each frame, e.g. by ``np.add``.

        Args:
            function: With ``reduceat``.
            values: Shape [n_atoms, ...].
        """
        combined: npt.NDArray[Any] = function.reduceat(values, self.starts, axis=0)
        return combined

    def label_rows(self, label: str) -> FloatArray:
        """A label with one row of numbers for each frame or atom."""
        values = self.labels[label]
        return values.reshape(len(values), -1)

    def each(self, label: str, function: np.ufunc, flags: npt.NDArray[Any]) -> BoolArray:
        """Flags of the numbers of a label, combined in each frame.

        Args:
            label: One of the labels.
            function: ``np.logical_and`` or ``np.logical_or``.
            flags: One row for each frame or atom.

        Returns:
            Shape [n_frames].
        """
        rows: BoolArray = function.reduce(flags.reshape(len(flags), -1), axis=1)
        return self.of_frames(function, rows) if per_what(label) == "atom" else rows

    @cached_property
    def missing(self) -> dict[str, BoolArray]:
        """For each label the frames in which a number of it is missing, shape [n_frames]."""
        return {label: self.each(label, np.logical_or, np.isnan(value)) for label, value in self.labels.items()}

    @cached_property
    def absent(self) -> dict[str, BoolArray]:
        """For each label the frames that have nothing of it, shape [n_frames]."""
        return {label: self.each(label, np.logical_and, np.isnan(value)) for label, value in self.labels.items()}

    @cached_property
    def energies(self) -> FloatArray:
        """Energies in eV, NaN where they are absent or not finite; shape [n_frames]."""
        found = self.labels.get("total_energy")
        if found is None:
            return np.full(len(self), np.nan)
        return np.where(np.isfinite(found), found, np.nan).reshape(len(self))


def blocks(collection: FrameCollection, indices: range, set_name: str, units: Units = "metal") -> Iterator[Block]:
    """Frames of a set in blocks.

    Args:
        collection: A set.
        indices: Of the frames.
        set_name: Name of the set.
        units: Unit system of the data.
    """
    for start in range(0, len(indices), _AT_ONCE):
        yield _block(collection, indices[start : start + _AT_ONCE], set_name, units)


def _block(collection: FrameCollection, indices: range, set_name: str, units: Units) -> Block:
    packed = _packed(collection, indices)
    fields, present = packed.gathered()
    counts = packed.num_atoms()
    marked = np.array([collection.isolated[index] for index in indices], np.bool_)
    alone = marked.copy()
    for number in np.flatnonzero((counts == 1) & ~marked).tolist():
        alone[number] = is_alone(packed[number])
    labels = {
        label: _values(fields, present, label, counts, in_ev(field.unit, units))
        for label, field in LABELS.items()
        if label in fields
    }
    return Block(
        set_name=set_name,
        places=[collection.places[index] for index in indices],
        counts=counts,
        numbers=fields["atomic_numbers"],
        positions=fields["positions"],
        cells=fields["cell"],
        pbc=fields["pbc"],
        labels=labels,
        compositions=[collection.composition(index) for index in indices],
        reports=[collection.reports[index] for index in indices],
        keys=[collection.keys[index] for index in indices],
        marked=marked,
        alone=alone,
    )


def _packed(collection: FrameCollection, indices: range) -> PackedFrames:
    if isinstance(collection.frames, PackedFrames):
        return collection.frames.subset(indices)
    packer = Packer()
    for index in indices:
        packer.add(collection.frames[index])
    return packer.finish()


def _values(
    fields: Mapping[str, npt.NDArray[Any]],
    present: Mapping[str, BoolArray],
    label: str,
    counts: IntArray,
    scale: float,
) -> FloatArray:
    """A label in the unit of its field, NaN where it is masked, or the frame does not have it."""
    values: FloatArray = fields[label] * scale
    mask = fields.get(mask_key(label))
    if mask is not None and not mask.all():
        values[~mask] = np.nan
    if label in present:
        lacking = ~present[label]
        values[np.repeat(lacking, counts) if per_what(label) == "atom" else lacking] = np.nan
    return values
