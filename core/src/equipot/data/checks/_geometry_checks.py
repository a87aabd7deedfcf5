"""Checks of structures: contacts, units of length, cells and periodicity."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from equipot.data.checks._block import FloatArray, IntArray
from equipot.data.checks._catalogue import Check, Finding, define
from equipot.data.checks._probe import Structure
from equipot.data.checks._survey import Asked, NearPass, Places, View
from equipot.errors import DataError
from equipot.neighbors import neighbor_list

IMPOSSIBLE = define(
    Check(
        code="neighbours-impossible",
        severity="error",
        title="Neighbours of a frame cannot be found",
        law="Atoms are at different places, less than 1e8 Å from the origin, in cells that are not absurdly small.",
        threshold="The neighbour list refuses the frame: atoms closer than 1e-6 Å, farther than 1e8 Å from the origin, "
        "or with countless periodic images near them.",
        why="Nothing: the neighbour list of the model would refuse the frame, too.",
        remedy="Correct the frame, or remove it.",
    )
)

CONTACT = define(
    Check(
        code="contact",
        severity="warning",
        title="Atoms are on top of each other",
        law="Nuclei repel each other: no two atoms of a calculation are closer than a third of a bond.",
        threshold="Two atoms are closer than 0.3 Å, or than 0.3 of the sum of their covalent radii.",
        why="One such pair can have forces that outweigh all others, and the labels often belong to another structure.",
        remedy="Look at the pair that is named; remove the frame, or keep it if it was computed on purpose.",
    )
)

TOO_CLOSE = define(
    Check(
        code="positions-too-close",
        severity="warning",
        title="Most atoms are far too close: fractional positions, or another unit of length",
        law="The nearest neighbour of an atom is about a bond away (the sum of the covalent radii).",
        threshold="In more than half of the frames the median distance to the nearest neighbour is below 0.5 of the "
        "sum of the covalent radii.",
        why="Cutoff radius, neighbours and forces per displacement are all wrong by a factor.",
        remedy="Write Cartesian positions in Å (1 Bohr = 0.529177 Å; fractional positions times the cell).",
    )
)

TOO_FAR = define(
    Check(
        code="positions-too-far",
        severity="warning",
        title="No atom has a neighbour at the distance of a bond: positions in Bohr?",
        law="The nearest neighbour of an atom is about a bond away (the sum of the covalent radii).",
        threshold="In at least 95 % of the frames no pair of atoms other than noble gases is closer than 1.5 times the "
        "sum of the covalent radii.",
        why="Cutoff radius, neighbours and forces per displacement are all wrong by a factor.",
        remedy="Write positions and cell in Å (1 Bohr = 0.529177 Å).",
    )
)

OPEN_CELL = define(
    Check(
        code="pbc-missing",
        severity="warning",
        title="The cell is full of atoms, but not periodic",
        law="Where a cell is not periodic, it has empty space around the atoms.",
        threshold="Frames of at least two atoms have a cell, are not periodic along one of its vectors, and have no "
        "gap of 3 Å along it; more than half of all frames that are not periodic along a vector.",
        why="Atoms at the faces of the cell lack neighbours, and their forces cannot be explained.",
        remedy='Write pbc="T T T" into the file (ASE: atoms.pbc = True).',
    )
)

TRANSPOSED = define(
    Check(
        code="cell-overlap",
        severity="warning",
        title="The cell seems to be transposed",
        law="Rows of the cell matrix are the cell vectors; with them, atoms are about a bond apart.",
        threshold="Atoms are closer than 0.6 of the sum of the covalent radii, and no closer than 0.75 of it with the "
        "transposed cell; at least two frames, and 2 % of those whose cell is not symmetric.",
        why="Atoms have wrong neighbours through the faces of the cell.",
        remedy="Write the cell vectors one after the other: Lattice is a_x a_y a_z b_x b_y b_z c_x c_y c_z.",
    )
)

LATTICE_LOST = define(
    Check(
        code="cell-lost",
        severity="warning",
        title="Frames have lost their cell",
        law="Frames of one composition are either all periodic or all not; forces do not turn what is not periodic.",
        threshold="Frames of at least eight atoms have no cell, while other frames of the same numbers of atoms of "
        "each element are periodic; or forces turn most of the frames without a cell (at least 20), and these cannot "
        "be molecules: less than a fifth of the atoms is hydrogen, and spheres of the covalent radii fill more than 12 "
        "% of the box around them.",
        why="Atoms at the surface of the supposed cluster lack neighbours.",
        remedy="Write the Lattice into these frames.",
    )
)

_CONTACT = 0.3
_CLOSE, _FAR = 0.5, 1.5
GAP = 3.0
_LEAST_SHARE = 0.02
_NOBLE = (2, 10, 18, 36, 54, 86)
_BOHR = 1.8897
CLUSTER = 8
"""Fewest atoms of a frame that can be a piece of a crystal or liquid."""


class Nearest(NamedTuple):
    """Distances to nearest neighbours, over the sum of the covalent radii."""

    of_atoms: FloatArray
    """Of each atom, infinite beyond the radius of the search; shape [n_atoms]."""
    closest: tuple[int, int]
    """The pair with the smallest ratio."""
    distance: float
    """Distance of this pair, Å."""

    @property
    def ratio(self) -> float:
        """Of the closest pair."""
        return float(self.of_atoms.min())


def radii(numbers: IntArray) -> FloatArray:
    """Covalent radii in Å, shape [n_atoms].

    Args:
        numbers: Atomic numbers, shape [n_atoms].
    """
    from ase.data import covalent_radii

    found: FloatArray = covalent_radii[np.minimum(numbers, len(covalent_radii) - 1)]
    return found


def nearest(frame: View, cell: FloatArray | None = None) -> Nearest | None:
    """Distances to nearest neighbours up to 1.5 times the sum of the covalent radii.

    Args:
        frame: A frame.
        cell: In place of its own, Å, shape [3, 3].

    Returns:
        None if there is no pair that near.

    Raises:
        DataError: If atoms are at one place, or a cell is so small that they have countless neighbours.
    """
    size = radii(frame.numbers)
    cell = frame.cell if cell is None else cell
    (i, j), shift = neighbor_list(frame.positions, cell, frame.pbc, 2 * _FAR * float(size.max()))
    if not len(i):
        return None
    vectors = frame.positions[j] + shift @ cell - frame.positions[i]
    distances = np.sqrt((vectors**2).sum(axis=1))
    ratios = distances / (size[i] + size[j])
    of_atoms = np.full(len(size), np.inf)
    np.minimum.at(of_atoms, i, ratios)
    least = int(ratios.argmin())
    return Nearest(of_atoms, (int(i[least]), int(j[least])), float(distances[least]))


def open_gap(frame: View | Structure) -> float:
    """Smallest of the largest empty spaces between atoms along the cell vectors that are not periodic, Å.

    Args:
        frame: A frame whose cell has a volume.

    Returns:
        Infinite if it is periodic along all of them.
    """
    inverse = np.linalg.inv(frame.cell)
    gaps = [np.inf]
    for axis in np.flatnonzero(~frame.pbc):
        height = 1.0 / np.linalg.norm(inverse[:, axis])
        along = np.sort((frame.positions @ inverse[:, axis]) % 1.0)
        largest = max(float((along[1:] - along[:-1]).max(initial=0.0)), 1.0 - float(along[-1] - along[0]))
        gaps.append(largest * float(height))
    return min(gaps)


class Distances(NearPass):
    """Contacts, positions in another unit, transposed cells."""

    def __init__(self, asked: Asked) -> None:
        super().__init__(asked)
        self._frames = 0
        self._contacts = Places()
        self._first_contact = ""
        self._impossible, self._reason = Places(), ""
        self._close, self._far, self._transposed = Places(), Places(), Places()
        self._close_ratios: list[float] = []
        self._far_ratios: list[float] = []
        self._fractional = 0
        self._not_symmetric = 0

    def see(self, frame: View) -> None:
        """Find the nearest neighbours."""
        bonding = ~np.isin(frame.numbers, _NOBLE)
        if len(frame.numbers) < 2 or not bonding.any():
            return
        self._frames += 1
        try:
            found = nearest(frame)
        except DataError as error:
            self._reason = self._reason or str(error)
            self._impossible.add(frame.place)
            return
        if found is None or found.of_atoms[bonding].min() > _FAR:
            self._far.add(frame.place)
            self._far_ratios.append(_closest_pair(frame))
            return
        if found.ratio < _CONTACT or found.distance < _CONTACT:
            self._first_contact = self._first_contact or _pair(frame, found)
            self._contacts.add(frame.place)
        if (median := float(np.median(found.of_atoms[bonding]))) < _CLOSE:
            self._close.add(frame.place)
            self._close_ratios.append(median)
            self._fractional += bool(np.abs(frame.positions).max() <= 1.5)
        if frame.pbc.any() and np.abs(frame.cell - frame.cell.T).max() > 0.1:
            self._not_symmetric += 1
            if found.ratio < 0.6 and _apart_if_transposed(frame):
                self._transposed.add(frame.place)

    def findings(self) -> Iterator[Finding]:
        """Contacts unless all atoms are too close, then the others."""
        if self._impossible.count:
            message = f"{self._impossible.count} of {self._frames} frames; the first: {self._reason}"
            yield self._impossible.finding(IMPOSSIBLE, message)
        all_close = self._close.count > 0.5 * self._frames
        if all_close:
            cause = f"median {np.median(self._close_ratios):.2g} of a bond"
            if self._fractional > 0.5 * self._close.count:
                cause += "; all coordinates lie between -1.5 and 1.5, as fractional ones do"
            yield self._close.finding(TOO_CLOSE, f"{self._close.count} of {self._frames} frames: {cause}")
        elif self._contacts.count:
            message = f"{self._contacts.count} of {self._frames} frames; in the first, {self._first_contact}"
            yield self._contacts.finding(CONTACT, message)
        if self._far.count and self._far.count >= 0.95 * self._frames:
            yield self._far.finding(TOO_FAR, self._far_message())
        if self._transposed.count >= max(2, _LEAST_SHARE * self._not_symmetric):
            message = f"atoms of {self._transposed.count} of {self._not_symmetric} frames overlap, but not with the "
            yield self._transposed.finding(TRANSPOSED, message + "transposed cell")

    def _far_message(self) -> str:
        finite = [ratio for ratio in self._far_ratios if np.isfinite(ratio)]
        text = f"{self._far.count} of {self._frames} frames have no two atoms at the distance of a bond"
        if finite and 0.8 < float(np.median(finite)) / _BOHR < 1.25:
            text += f"; the closest are {np.median(finite):.2f} bonds apart, and 1 Å is 1.89 Bohr"
        return text


def _pair(frame: View, found: Nearest) -> str:
    from ase.data import chemical_symbols

    first, second = (f"{chemical_symbols[frame.numbers[atom]]} (atom {atom})" for atom in found.closest)
    return f"{first} and {second} are {found.distance:.3g} Å apart"


def _closest_pair(frame: View) -> float:
    """Smallest ratio of distance and bond without periodicity; infinite if there are too many pairs to look at."""
    if len(frame.numbers) > 500:
        return float("inf")
    size = radii(frame.numbers)
    distances = np.linalg.norm(frame.positions[:, None] - frame.positions, axis=2)
    np.fill_diagonal(distances, np.inf)
    return float((distances / (size[:, None] + size)).min())


def _apart_if_transposed(frame: View) -> bool:
    try:
        found = nearest(frame, np.ascontiguousarray(frame.cell.T))
    except DataError:
        return False
    return found is not None and found.ratio > 0.75


class Periodicity(NearPass):
    """Cells that are full but not periodic, and frames that lost their cell."""

    def __init__(self, asked: Asked) -> None:
        super().__init__(asked)
        self._full = Places()
        self._gap = np.inf
        self._open = 0
        self._periodic: set[tuple[int, ...]] = set()
        self._clusters: dict[tuple[int, ...], list[str]] = {}

    def see(self, frame: View) -> None:
        """Measure the empty space along axes that are not periodic."""
        has_cell = frame.has_cell
        if len(frame.numbers) >= CLUSTER and (frame.pbc.all() or not (has_cell or frame.pbc.any())):
            composition = tuple(np.bincount(frame.numbers).tolist())
            if frame.pbc.all():
                self._periodic.add(composition)
            else:
                self._clusters.setdefault(composition, []).append(frame.place)
        if has_cell and not frame.pbc.all() and len(frame.numbers) > 1:
            self._open += 1
            if (gap := open_gap(frame)) < GAP:
                self._full.add(frame.place)
                self._gap = min(self._gap, gap)

    def findings(self) -> Iterator[Finding]:
        """Of all sets together."""
        if self._full.count > 0.5 * self._open:
            message = f"{self._full.count} frames have atoms throughout a cell that is not periodic (largest gap "
            yield self._full.finding(OPEN_CELL, f"{message}{self._gap:.2g} Å along an open axis)")
        lost = Places()
        for composition, places in self._clusters.items():
            if composition in self._periodic:
                for place in places:
                    lost.add(place)
        if lost.count:
            yield lost.finding(LATTICE_LOST, f"{lost.count} frames have no cell, others of the same atoms are periodic")
