"""Energies of all frames of a set by composition: what is far off in it, and how far another set is off."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from equipot.data._collection import Composition
from equipot.data.checks._block import Block, BoolArray, FloatArray, IntArray
from equipot.data.checks._numbers import composition_fit, composition_matrix, deviation

_COMMON = 200
"""Frames of a composition that has a median and a spread of its own; of fewer, a strained one is far off by chance."""
_SHARED = 3
"""Frames of a composition in each of two sets that are compared."""
_NEAR, _SURE = (0.5, 8.0), (2.0, 12.0)
"""eV per atom and standard deviations beyond which sets differ: of shared compositions, and of those that follow."""


@dataclass(frozen=True)
class Offset:
    """How far the energies of a set are from those of another."""

    shift: float
    """eV per atom, in the median."""
    frames: int


@dataclass
class EnergyRows:
    """Energies and compositions of frames of one set."""

    places: list[str] = field(default_factory=list)
    kinds: dict[Composition, int] = field(default_factory=dict)
    """Number of each composition."""
    _energies: list[FloatArray] = field(default_factory=list)
    _kind_of: list[int] = field(default_factory=list)

    def add(self, block: Block, chosen: BoolArray) -> None:
        """Add frames, which are looked at only after all were added.

        Args:
            block: Frames.
            chosen: Those with energies of more than one atom, shape [n_frames].
        """
        for index in np.flatnonzero(chosen).tolist():
            self.places.append(block.places[index])
            self._kind_of.append(self.kinds.setdefault(block.compositions[index], len(self.kinds)))
        self._energies.append(block.energies[chosen])

    @cached_property
    def energies(self) -> FloatArray:
        """eV, shape [n_frames]."""
        return np.concatenate(self._energies)

    @cached_property
    def kind_of(self) -> IntArray:
        """Number of the composition of each frame, shape [n_frames]."""
        return np.array(self._kind_of, np.int64)

    @cached_property
    def sizes(self) -> FloatArray:
        """Number of atoms of each composition."""
        return np.array([sum(count for _, count in kind) for kind in self.kinds], np.float64)

    @cached_property
    def atoms(self) -> FloatArray:
        """Number of atoms of each frame, shape [n_frames]."""
        return self.sizes[self.kind_of]

    @cached_property
    def per_atom(self) -> FloatArray:
        """eV, shape [n_frames]."""
        return self.energies / self.atoms

    @cached_property
    def _fit(self) -> FloatArray:
        """Energies of the elements, in the order of ``elements``."""
        return composition_fit(self.shares, self.per_atom, self.kind_of)

    @cached_property
    def elements(self) -> list[int]:
        """Atomic numbers."""
        return composition_matrix([dict(kind) for kind in self.kinds])[1]

    @cached_property
    def shares(self) -> FloatArray:
        """Shares of the elements in each composition."""
        return composition_matrix([dict(kind) for kind in self.kinds])[0] / self.sizes[:, None]

    @cached_property
    def _common(self) -> list[IntArray]:
        """Indices of the frames of each composition that many share."""
        order = np.argsort(self.kind_of, kind="stable")
        groups = np.split(order, np.cumsum(np.bincount(self.kind_of))[:-1])
        return [group for group in groups if len(group) >= _COMMON]

    def deviations(self) -> tuple[FloatArray, FloatArray]:
        """What is left of the energies, and how much of it is usual.

        Returns:
            Energies without the part that is linear in the composition, from the median of the composition where many
            share it, else from that of all; and the robust standard deviation. Both in eV per atom, shape [n_frames].
        """
        left = self.per_atom - (self.shares @ self._fit)[self.kind_of]
        centre, spread = np.full(len(left), np.median(left)), np.full(len(left), deviation(left))
        for group in self._common:
            centre[group] = np.median(left[group])
        within = deviation(left - centre)
        for group in self._common:
            spread[group] = max(deviation(left[group]), 0.3 * within)
        return left - centre, spread

    def offset(self, other: EnergyRows) -> Offset | None:
        """How far another set is off, if it is too far to be of the same level of theory."""
        shared = [kind for kind in other.kinds if kind in self.kinds]
        differences: list[FloatArray] = []
        spreads = []
        for kind in shared:
            mine, theirs = self._of(kind), other._of(kind)
            if min(len(mine), len(theirs)) >= _SHARED:
                differences.append(theirs - np.median(mine))
                spreads.append(max(deviation(mine), deviation(theirs)))
        if differences:
            return _offset(np.concatenate(differences), max(spreads), _NEAR)
        return self._offset_of_elements(other)

    def _of(self, kind: Composition) -> FloatArray:
        return self.per_atom[self.kind_of == self.kinds[kind]]

    def _offset_of_elements(self, other: EnergyRows) -> Offset | None:
        """The same where the energies of the elements have to follow from the compositions of this set."""
        if not set(other.elements) <= set(self.elements):
            return None
        column = {number: index for index, number in enumerate(self.elements)}
        shares = np.zeros((len(other.kinds), len(column)))
        shares[:, [column[number] for number in other.elements]] = other.shares
        if np.linalg.matrix_rank(np.vstack([self.shares, shares])) > np.linalg.matrix_rank(self.shares):
            return None
        theirs = other.per_atom - (shares @ self._fit)[other.kind_of]
        mine = self.per_atom - (self.shares @ self._fit)[self.kind_of]
        return _offset(theirs - np.median(mine), max(deviation(mine), deviation(theirs)), _SURE)


def _offset(differences: FloatArray, spread: float, least: Sequence[float]) -> Offset | None:
    shift = float(np.median(differences))
    return Offset(shift, len(differences)) if abs(shift) > max(least[0], least[1] * spread) else None
