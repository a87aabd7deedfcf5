"""Checks of sets as a whole: frames that sets share, elements, isolated atoms, and what compositions determine."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from equipot.commands import setting
from equipot.data._collection import Composition
from equipot.data.checks._block import Block, FloatArray
from equipot.data.checks._catalogue import Check, Finding, define
from equipot.data.checks._energy_rows import EnergyRows
from equipot.data.checks._numbers import composition_matrix
from equipot.data.checks._survey import Asked, LabelPass, Places

SHARED = define(
    Check(
        code="frames-shared",
        severity="warning",
        title="Sets share frames",
        law="Frames of validation and test sets are not in the train set.",
        threshold="Two frames of different sets have the same elements, and positions and cell equal to 0.001 Å after "
        "a common shift. Rotated, permuted or wrapped copies are not recognised. Single atoms are left out.",
        why="Errors on such frames say nothing about new structures.",
        remedy="Remove them from one of the sets.",
    )
)

REPEATED = define(
    Check(
        code="frames-repeated",
        severity="note",
        title="A set has frames several times",
        law="Each structure is in the data once.",
        threshold="As for frames-shared, within one set.",
        why="These frames have more weight, and a random split may put copies into different sets.",
        remedy="Remove the copies before a file is split.",
    )
)

WITHOUT_TYPE = define(
    Check(
        code="element-without-type",
        severity="error",
        title="An element has no type in the model",
        law="Every element of the data is among the model's types.",
        threshold="At least one atom of such an element.",
        why="Nothing: the model cannot be evaluated.",
        remedy="Add the element to type_names, or remove the frames.",
    )
)

NOT_IN_TRAIN = define(
    Check(
        code="element-not-in-train",
        severity="warning",
        title="An element is not in the train set",
        law="Every element of the other sets, and every type of the model, is in the train set.",
        threshold="No atom of the element in the train set, but in another set.",
        why="What the model says of this element is not learnt.",
        remedy="Split the data so that each element is in the train set, or remove the element.",
    )
)

TYPE_UNUSED = define(
    Check(
        code="type-without-data",
        severity="note",
        title="A type of the model is not in the data",
        law="Every type of the model is in the data.",
        threshold="No atom of the element in any set.",
        why="What the model says of this element is not learnt.",
        remedy="Remove the element from type_names, unless the model is to be trained further.",
    )
)

RANK = define(
    Check(
        code="composition-rank",
        severity="note",
        title="The compositions do not tell the energies of the elements apart",
        law="Energies of elements follow from total energies if as many compositions as elements are independent.",
        threshold="The rank of the matrix of numbers of atoms (frames of more than one atom by elements) is smaller "
        "than the number of elements, and isolated atoms are not complete.",
        why="Least squares cannot give energies of elements; the model is arbitrary for other compositions.",
        remedy="Add isolated atoms, or use the mean energy per atom if only these compositions matter.",
    )
)

ISOLATED = define(
    Check(
        code="isolated-atoms",
        severity="note",
        title="The data have isolated atoms",
        law="Isolated atoms are references of energy, and no part of a mean.",
        threshold="Frames of one atom that are marked config_type=IsolatedAtom, or have no neighbour within 6 Å.",
        why="They fix the zero of energy of each element.",
        remedy=lambda: (
            f"Use their energies: {setting('per_type_energy_shifts', '${training_data_stats:isolated_atom_energies}')}."
        ),
    )
)

ISOLATED_DIFFER = define(
    Check(
        code="isolated-atoms-differ",
        severity="warning",
        title="Isolated atoms of one element have different energies",
        law="The ground state of an atom has one energy.",
        threshold="Energies of isolated atoms of one element differ by more than 0.001 eV.",
        why="The reference of the element is not defined.",
        remedy="Keep the one of the lowest energy, computed with the settings of the other frames.",
    )
)

ISOLATED_CONTRADICT = define(
    Check(
        code="isolated-atoms-contradict",
        severity="warning",
        title="Energies do not fit the isolated atoms: cohesive energies, or another program?",
        law="Atoms are bound by some eV: energies are those of the isolated atoms minus up to 15 eV per atom.",
        threshold="The median of (energy - energies of the isolated atoms) is below -15 or above 5 eV per atom.",
        why="Energy shifts from the isolated atoms leave a constant that the network has to learn.",
        remedy="Use total energies of one program and one set of settings for frames and atoms.",
    )
)

SIZE = define(
    Check(
        code="energy-size",
        severity="warning",
        title="Energies look like energies per atom",
        law="Total energies grow with the number of atoms.",
        threshold="Frames differ in size by a factor of two or more, and energies as they are follow from the shares "
        "of the elements twice as well as energies divided by the number of atoms do, of which at least 5 % are not "
        "explained.",
        why="Energies per atom are learnt as if they were total energies, which contradicts the forces.",
        remedy="Multiply the energies with the number of atoms.",
    )
)

_ROUNDING = 1e-3
_TOLERANCE = 1e-3
_UNEXPLAINED = 0.05
_BOUND = (-15.0, 5.0)
TRAIN = "train"


def frame_hashes(block: Block) -> npt.NDArray[np.uint64]:
    """Hashes of elements, positions relative to the first atom, and cell, both rounded to 0.001 Å.

    Args:
        block: Frames.

    Returns:
        Shape [n_frames].
    """
    atom = (np.arange(len(block.numbers)) - block.starts[block.frame_of]).astype(np.uint64)
    relative = (block.positions - block.positions[block.starts][block.frame_of]) / _ROUNDING
    rows = _mixed(block.numbers.astype(np.uint64) + _mixed(atom + np.uint64(1)))
    for axis in range(3):
        rows = _mixed(rows + _bits(relative[:, axis]))
    found = block.of_frames(np.add, rows) + _mixed(block.counts.astype(np.uint64))
    cells = np.where(block.pbc[:, :, None], block.cells / _ROUNDING, 0.0)
    for column in (*block.pbc.T.astype(np.float64), *cells.reshape(len(block), 9).T):
        found = _mixed(found + _bits(column))
    return np.asarray(found, np.uint64)


def _bits(values: FloatArray) -> npt.NDArray[np.uint64]:
    """Rounded numbers of any size as 64 bits."""
    return (np.rint(values) + 0.0).view(np.uint64)  # makes 0 of -0


def _mixed(values: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """Bits of which each depends on all of the given ones (the finaliser of splitmix64).

    Source: Steele, Lea, Flood, OOPSLA 2014; doi:10.1145/2660193.2660195.
    """
    values = values + np.uint64(0x9E3779B97F4A7C15)
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        values = (values ^ (values >> np.uint64(shift))) * np.uint64(factor)
    mixed: npt.NDArray[np.uint64] = values ^ (values >> np.uint64(31))
    return mixed


class Copies(LabelPass):
    """Frames that are there more than once."""

    def __init__(self, asked: Asked) -> None:
        super().__init__(asked)
        self._first: dict[int, tuple[str, str]] = {}
        self._shared: dict[tuple[str, str], Places] = defaultdict(Places)
        self._originals: dict[tuple[str, str], str] = {}
        self._repeated: dict[str, Places] = defaultdict(Places)

    def see(self, block: Block) -> None:
        """Look which frames were there before."""
        hashes = frame_hashes(block).tolist()
        for index in np.flatnonzero(block.counts > 1).tolist():
            here = (block.set_name, block.places[index])
            before = self._first.setdefault(hashes[index], here)
            if before is not here:
                self._see_again(before, here)

    def _see_again(self, before: tuple[str, str], here: tuple[str, str]) -> None:
        (name, place), (other, again) = before, here
        if name == other:
            self._repeated[name].add(again)
            return
        self._originals.setdefault((name, other), place)
        self._shared[name, other].add(again)

    def findings(self) -> Iterator[Finding]:
        """Of each pair of sets, then of each set."""
        for pair, places in self._shared.items():
            message = f"{places.count} frames of {pair[1]} are in {pair[0]} too"
            yield places.finding(SHARED, message, f"{places.first[0]} = {self._originals[pair]}")
        for name, places in self._repeated.items():
            yield places.finding(REPEATED, f"{places.count} frames of {name} repeat earlier ones")


class Elements(LabelPass):
    """Elements of sets and types, and what compositions and energies say of the energies of the elements."""

    def __init__(self, asked: Asked) -> None:
        super().__init__(asked)
        self._elements: dict[str, dict[int, str]] = defaultdict(dict)
        self._counts: dict[Composition, None] = {}
        self._rows = EnergyRows()
        self._atoms: dict[int, list[float]] = defaultdict(list)
        self._alone, self._unmarked = Places(), 0
        self._place = ""

    def see(self, block: Block) -> None:
        """Count elements, and keep the energies of atoms."""
        for number, first in zip(*np.unique(block.numbers, return_index=True), strict=True):
            place = block.places[int(block.frame_of[first])]
            self._elements[block.set_name].setdefault(int(number), place)
        for index in np.flatnonzero(block.alone).tolist():
            if np.isfinite(energy := float(block.energies[index])):
                self._atoms[int(block.numbers[block.starts[index]])].append(energy)
        self._alone.add_all(block.places, block.alone)
        self._unmarked += int((block.alone & ~block.marked).sum())
        others = np.flatnonzero(~block.alone).tolist()
        if others:
            self._place = self._place or block.places[others[0]]
        self._counts.update(dict.fromkeys(block.compositions[index] for index in others))
        self._rows.add(block, np.isfinite(block.energies) & ~block.alone)

    def findings(self) -> Iterator[Finding]:
        """Types, train set, rank, isolated atoms, size of the energies."""
        yield from self._type_findings()
        yield from self._train_findings()
        if not self.asked.is_used("total_energy"):
            return
        yield from self._rank_findings()
        yield from self._isolated_findings()
        yield from self._size_findings()

    def _type_findings(self) -> Iterator[Finding]:
        if self.asked.types is None:
            return
        known = {number for name in self.asked.types if (number := _number(name))}
        places = {number: place for one in self._elements.values() for number, place in one.items()}
        if missing := sorted(places.keys() - known):
            message = f"the model has no type for {_symbols(missing)}"
            where = tuple(places[number] for number in missing)
            yield Finding(check=WITHOUT_TYPE, count=len(missing), example=where[0], message=message, places=where)
        if known and (absent := sorted(known - places.keys())):
            message = f"no frame has {_symbols(absent)}"
            yield Finding(check=TYPE_UNUSED, count=len(absent), example=_symbols(absent), message=message)

    def _train_findings(self) -> Iterator[Finding]:
        if TRAIN not in self._elements:
            return
        for name, elements in self._elements.items():
            if missing := sorted(elements.keys() - self._elements[TRAIN].keys()):
                message = f"{_symbols(missing)} of {name} is not in the train set"
                where = tuple(elements[number] for number in missing)
                yield Finding(check=NOT_IN_TRAIN, count=len(missing), example=where[0], message=message, places=where)

    def _rank_findings(self) -> Iterator[Finding]:
        matrix, elements = composition_matrix([dict(one) for one in self._counts])
        if set(elements) <= self._atoms.keys() or (rank := int(np.linalg.matrix_rank(matrix))) == len(elements):
            return
        message = (
            f"the compositions of the frames ({len(self._counts)} of {_symbols(elements)}) determine {rank} of the "
            f"{len(elements)} energies of elements"
        )
        yield Finding(check=RANK, count=len(elements) - rank, example=self._place, message=message)

    def _isolated_findings(self) -> Iterator[Finding]:
        if not self._alone.count:
            return
        numbers = sorted(self._atoms)
        others = sorted({number for count in self._counts for number, _ in count} - self._atoms.keys())
        message = f"{self._alone.count} isolated atoms ({_symbols(numbers) or 'without energies'}"
        message += f", {self._unmarked} of them not marked as such)" if self._unmarked else ")"
        yield self._alone.finding(ISOLATED, message + (f"; none of {_symbols(others)}" if others else ""))
        for number, energies in self._atoms.items():
            if max(energies) - min(energies) > _TOLERANCE:
                low, high = (self.asked.quantity(value, digits=8) for value in (min(energies), max(energies)))
                message = f"isolated atoms of {_symbols([number])} have energies from {low} to {high}"
                yield self._alone.finding(ISOLATED_DIFFER, message)
        atoms = {number: min(energies) for number, energies in self._atoms.items()}
        yield from self._offset_findings(ISOLATED_CONTRADICT, atoms, "their isolated atoms", _BOUND)

    def _offset_findings(
        self, check: Check, atoms: dict[int, float], what: str, allowed: tuple[float, float]
    ) -> Iterator[Finding]:
        """Compare energies with sums of energies of atoms."""
        rows = self._rows
        if not rows.places:
            return
        known = [{number for number, _ in kind} <= atoms.keys() for kind in rows.kinds]
        sums = [sum(atoms.get(number, 0.0) * count for number, count in kind) for kind in rows.kinds]
        offsets = ((rows.energies - np.array(sums)[rows.kind_of]) / rows.atoms)[np.array(known)[rows.kind_of]]
        if not offsets.size or allowed[0] <= (median := float(np.median(offsets))) <= allowed[1]:
            return
        shown = self.asked.quantity(median, per="/atom")
        message = f"energies differ from those of {what} by {shown} in the median of {len(offsets)} frames"
        yield Finding(check=check, count=len(offsets), example=self._place, message=message)

    def _size_findings(self) -> Iterator[Finding]:
        rows = self._rows
        if len(rows.places) < 10 or rows.atoms.max() < 2 * rows.atoms.min():
            return
        total, per_atom = (_unexplained(rows, values) for values in (rows.per_atom, rows.energies))
        if total > _UNEXPLAINED and per_atom < 0.5 * total:
            sizes = f"{rows.atoms.min():.0f} to {rows.atoms.max():.0f} atoms"
            message = f"the energies of {len(rows.places)} frames of {sizes} do not grow with the number of atoms"
            yield Finding(check=SIZE, count=len(rows.places), example=self._place, message=message)


def _unexplained(rows: EnergyRows, values: FloatArray) -> float:
    """Part of the values that does not follow from the shares of the elements."""
    frames = np.bincount(rows.kind_of)
    root, mean = np.sqrt(frames), np.bincount(rows.kind_of, values) / frames
    fitted = np.linalg.lstsq(rows.shares * root[:, None], mean * root, rcond=1e-10)[0]
    residuals = values - (rows.shares @ fitted)[rows.kind_of]
    return float(np.sqrt((residuals**2).mean() / max(float((values**2).mean()), 1e-300)))


def _number(name: str) -> int:
    """Atomic number of a chemical symbol, 0 for other names."""
    from ase.data import atomic_numbers

    return int(atomic_numbers.get(name, 0))


def _symbols(numbers: list[int]) -> str:
    from ase.data import chemical_symbols

    shown = [chemical_symbols[number] for number in numbers[:12]]
    return ", ".join(shown) + (f" and {len(numbers) - 12} more" if len(numbers) > 12 else "")
