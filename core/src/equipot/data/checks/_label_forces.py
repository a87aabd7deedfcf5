"""Checks of forces by themselves: far larger than all others, not summing to zero, zero on fixed atoms."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from equipot.commands import setting
from equipot.data.checks._block import Block, BoolArray, FloatArray, IntArray
from equipot.data.checks._catalogue import Check, Finding, define
from equipot.data.checks._numbers import FEWEST, GAP, apart
from equipot.data.checks._survey import Asked, LabelPass, Places

FORCE_FAR_OFF = define(
    Check(
        code="force-far-off",
        severity="warning",
        title="A force is far larger than all others",
        law="Largest forces of frames of one set are of one order of magnitude.",
        threshold="In at most 2 % of the frames (at least 20 in a set) the largest force is more than 20 times the "
        "median and 5 times the one of the next frame, and above 10 eV/Å.",
        why="A single wrong force can outweigh all others in a loss of squares.",
        remedy="Look at the atom that is named: atoms that are too close, or a calculation that did not converge.",
    )
)

FORCES_SUM = define(
    Check(
        code="forces-sum",
        severity="warning",
        title="The forces of a few frames do not sum to zero",
        law="The forces on all atoms of a frame sum to zero, but for the error of the calculation.",
        threshold="In at most 2 % of the frames (at least 20 in a set) the sum over the root of the number of atoms is "
        "more than 20 times the median, 3 times that of the next frame, and above 0.2 eV/Å.",
        why="The force of at least one atom is wrong, or belongs to another frame.",
        remedy="Look at the atom that is named, whose force is closest to the sum: a digit that was lost, or a frame "
        "put together from two.",
    )
)

CONSTRAINED = define(
    Check(
        code="forces-of-fixed-atoms",
        severity="warning",
        title="Forces of fixed atoms were set to zero",
        law="All forces of a frame sum to zero.",
        threshold="Some but not all atoms of a frame have forces that are exactly zero, and the sum of all is "
        "more than 0.05 eV/Å and 0.05 of the root of the sum of their squares.",
        why="The model learns that fixed atoms feel no force.",
        remedy=lambda: (
            "Write the forces without constraints (ASE: get_forces(apply_constraint=False)), or set those of "
            f"fixed atoms to NaN and use {setting('mask_nan_labels', 'true')}."
        ),
    )
)

_MEANINGFUL_FORCE = 10.0
_MEANINGFUL_NET = 0.2


@dataclass
class _ForceRows:
    """Of each frame with forces of more than one atom."""

    places: list[str] = field(default_factory=list)
    largest: list[FloatArray] = field(default_factory=list)
    """Size of the largest force, eV/Å."""
    atom: list[IntArray] = field(default_factory=list)
    """Which atom has it."""
    net: list[FloatArray] = field(default_factory=list)
    """Size of the sum of all forces over the root of the number of atoms, eV/Å."""
    odd: list[IntArray] = field(default_factory=list)
    """The atom whose force is closest to the sum."""


class Forces(LabelPass):
    """Outliers in forces, and forces of fixed atoms."""

    def __init__(self, asked: Asked) -> None:
        super().__init__(asked)
        self._rows: dict[str, _ForceRows] = defaultdict(_ForceRows)
        self._fixed = Places()
        self._frames = 0

    def see(self, block: Block) -> None:
        """Keep the largest force and the sum, with the atoms that they point to."""
        if "forces" not in block.labels:
            return
        chosen = ~block.missing["forces"] & (block.counts > 1)
        if not chosen.any():
            return
        forces = block.labels["forces"]
        sizes = np.sqrt((forces**2).sum(axis=1))
        net = block.of_frames(np.add, forces)
        self._frames += int(chosen.sum())
        self._see_fixed(block, chosen, sizes, np.linalg.norm(net, axis=1))
        rows = self._rows[block.set_name]
        distance = -np.sqrt(((forces - net[block.frame_of]) ** 2).sum(axis=1))
        rows.places += [block.places[index] for index in np.flatnonzero(chosen).tolist()]
        rows.largest.append(block.of_frames(np.maximum, sizes)[chosen])
        rows.atom.append(_first_largest(block, sizes)[chosen])
        rows.net.append((np.linalg.norm(net, axis=1) / np.sqrt(block.counts))[chosen])
        rows.odd.append(_first_largest(block, distance)[chosen])

    def _see_fixed(self, block: Block, chosen: BoolArray, sizes: FloatArray, net: FloatArray) -> None:
        zero = block.of_frames(np.add, (sizes == 0.0).astype(np.int64))
        independent = np.sqrt(block.of_frames(np.add, sizes**2))
        partly = chosen & (zero > 0) & (zero < block.counts)
        self._fixed.add_all(block.places, partly & (net > 0.05 * np.maximum(1.0, independent)))

    def findings(self) -> Iterator[Finding]:
        """Of each set."""
        if not self.asked.is_used("forces"):
            return
        if self._fixed.count:
            message = (
                f"in {self._fixed.count} of {self._frames} frames some atoms have forces of exactly zero, and the "
                "others do not sum to zero"
            )
            yield self._fixed.finding(CONSTRAINED, message)
        for name, rows in self._rows.items():
            if len(rows.places) >= FEWEST:
                yield from self._large(name, rows)
                yield from self._unbalanced(name, rows)

    def _large(self, name: str, rows: _ForceRows) -> Iterator[Finding]:
        sizes = np.concatenate(rows.largest)
        median = float(np.median(sizes))
        if found := apart(sizes, factor=5.0, least=max(_MEANINGFUL_FORCE, 20 * median)):
            size, usual = (self.asked.quantity(one, "forces") for one in (float(sizes[found[0]]), median))
            message = (
                f"the largest force of {len(found)} of {len(sizes)} frames of {name} is up to {size}, "
                f"but {usual} in the median"
            )
            yield _of_atoms(FORCE_FAR_OFF, found, rows.places, np.concatenate(rows.atom), message)

    def _unbalanced(self, name: str, rows: _ForceRows) -> Iterator[Finding]:
        net = np.concatenate(rows.net)
        median = float(np.median(net))
        if found := apart(net, factor=GAP, least=max(_MEANINGFUL_NET, 20 * median)):
            size, usual = (self.asked.quantity(one, "forces") for one in (float(net[found[0]]), median))
            message = (
                f"forces of {len(found)} of {len(net)} frames of {name} do not sum to zero: the sum over the root of "
                f"the number of atoms is up to {size}, but {usual} in the median"
            )
            yield _of_atoms(FORCES_SUM, found, rows.places, np.concatenate(rows.odd), message)


def _first_largest(block: Block, values: FloatArray) -> IntArray:
    """The atom with the largest value in each frame, counted in the frame; shape [n_frames]."""
    largest = np.flatnonzero(values >= block.of_frames(np.maximum, values)[block.frame_of])
    frames, first = np.unique(block.frame_of[largest], return_index=True)
    atoms = np.zeros(len(block), np.int64)
    atoms[frames] = largest[first] - block.starts[frames]
    return atoms


def _of_atoms(check: Check, found: Sequence[int], places: Sequence[str], atoms: IntArray, message: str) -> Finding:
    where = tuple(f"{places[index]}, atom {atoms[index]}" for index in found)
    return Finding(check=check, count=len(found), example=where[0], message=message, places=where)
