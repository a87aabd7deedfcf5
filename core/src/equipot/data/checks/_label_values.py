"""Checks of labels that say nothing: zero, or the same in all frames."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

import numpy as np

from equipot.commands import option
from equipot.data.checks._block import Block, BoolArray, FloatArray
from equipot.data.checks._catalogue import Check, Finding, define
from equipot.data.checks._survey import Asked, LabelPass, Places
from equipot.fields import FIELDS
from equipot.graph import per_what
from equipot.units import energy_power

ALL_ZERO = define(
    Check(
        code="label-zero",
        severity="error",
        title="A label is zero in all frames",
        law="Energies, forces and stresses of different structures differ from zero.",
        threshold="All numbers of a label are exactly zero in all frames of a set that have more than one atom.",
        why="The model learns zero.",
        remedy=lambda: f"Read the label from another key, leave it out of {option('labels')}, or give it no weight.",
    )
)

SOME_ZERO = define(
    Check(
        code="label-zero-frames",
        severity="warning",
        title="Energy or stress is exactly zero in some frames",
        law="An energy or stress that was computed is not zero to the last digit.",
        threshold="Exactly zero in at least one frame of more than one atom, and not in all of the set.",
        why="Zero that stands for 'not computed' is learnt as a value.",
        remedy="Remove the label from these frames: a missing label is masked.",
    )
)

FORCES_ZERO = define(
    Check(
        code="forces-zero-frames",
        severity="note",
        title="All forces are exactly zero in some frames",
        law="Forces vanish by symmetry in perfect crystals only.",
        threshold="All forces of a frame of more than one atom are exactly zero, and not in all frames of the set.",
        why="Zero that stands for 'not computed' is learnt as a value.",
        remedy="If the frames are not perfect crystals, remove their forces.",
    )
)

VANISHES = define(
    Check(
        code="label-vanishes",
        severity="note",
        title="A label is exactly zero in some frames",
        law="Dipoles, charges and the like vanish by symmetry only.",
        threshold="All numbers of a label are exactly zero in a frame of more than one atom, and not in all frames of "
        "the set; energies, forces and stress have checks of their own.",
        why="Zero that stands for 'not computed' is learnt as a value.",
        remedy="If the frames have no such symmetry, remove the label from them: a missing label is masked.",
    )
)

CONSTANT = define(
    Check(
        code="label-constant",
        severity="warning",
        title="A label has the same value in all frames",
        law="Different structures have different energies.",
        threshold="The numbers of energy, forces, stress or another label are the same to the last digit in all of at "
        "least five frames of more than one atom, and not zero.",
        why="The model learns a constant.",
        remedy="Look whether the right key is read, and whether a script has written one result into all frames.",
    )
)


class _SetValues:
    """The values of one label in the frames of one set that have more than one atom."""

    def __init__(self) -> None:
        self.frames = 0
        self.zero = Places()
        self.constant = True
        self.value: FloatArray | None = None
        self.place = ""

    def add(self, block: Block, label: str, chosen: BoolArray) -> None:
        """Add a label of some frames that have it.

        Args:
            block: Frames.
            label: One of their labels.
            chosen: Which frames, at least one; shape [n_frames].
        """
        rows, indices = block.label_rows(label), np.flatnonzero(chosen).tolist()
        self.frames += len(indices)
        self.place = self.place or block.places[indices[0]]
        self.zero.add_all(block.places, chosen & block.each(label, np.logical_and, rows == 0.0))
        if self.constant:
            values = np.split(rows, block.starts[1:]) if per_what(label) == "atom" else rows
            self.value = values[indices[0]] if self.value is None else self.value
            self.constant = all(np.array_equal(values[index], self.value) for index in indices)


class Constant(LabelPass):
    """Labels that are zero, or always the same."""

    def __init__(self, asked: Asked) -> None:
        super().__init__(asked)
        self._seen: dict[tuple[str, str], _SetValues] = defaultdict(_SetValues)

    def see(self, block: Block) -> None:
        """Compare the labels with those of the frames before."""
        for label in block.labels:
            chosen = ~block.missing[label] & (block.counts > 1)
            if self.asked.is_used(label) and chosen.any():
                self._seen[block.set_name, label].add(block, label, chosen)

    def findings(self) -> Iterator[Finding]:
        """Labels and sets with such values."""
        for (name, label), seen in self._seen.items():
            if seen.zero.count == seen.frames:
                yield seen.zero.finding(ALL_ZERO, f"{label} is zero in all {seen.frames} frames of {name}")
            elif seen.zero.count:
                message = f"{label} is exactly zero in {seen.zero.count} of {seen.frames} frames of {name}"
                yield seen.zero.finding(_zero_check(label), message)
            elif seen.constant and seen.frames >= 5:
                message = f"{label} has the same value in all {seen.frames} frames of {name}"
                places = (seen.place,)
                yield Finding(check=CONSTANT, count=seen.frames, example=places[0], message=message, places=places)


def _zero_check(label: str) -> Check:
    """What it means that a label is zero in some frames."""
    if label == "forces":
        return FORCES_ZERO
    return SOME_ZERO if energy_power(FIELDS[label].unit) else VANISHES
