"""Checks of sets as a whole: frames that sets share, elements, isolated atoms, and what compositions determine."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterator

import numpy as np

from equipot.data.checks._catalogue import Check, Finding, define
from equipot.data.checks._numbers import composition_matrix
from equipot.data.checks._survey import Asked, FloatArray, OnePass, Places, View
from equipot.errors import DataError
from equipot.neighbors import neighbor_list

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
        remedy="Use their energies as per_type_energy_shifts: ${training_data_stats:isolated_atom_energies}.",
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
_ALONE = 6.0
_TOLERANCE = 1e-3
_UNEXPLAINED = 0.05
_BOUND = (-15.0, 5.0)
TRAIN = "train"


def frame_hash(frame: View) -> bytes:
    """Digest of elements, positions relative to the first atom, and cell, both rounded to 0.001 Å.

    Args:
        frame: A frame.
    """
    relative = (frame.positions - frame.positions[0]) / _ROUNDING
    digest = hashlib.blake2b(frame.numbers.tobytes(), digest_size=16)
    digest.update(frame.pbc.tobytes())
    for values in (relative, frame.cell[frame.pbc] / _ROUNDING):
        digest.update((np.rint(values) + 0.0).tobytes())  # makes 0 of -0
    return digest.digest()


class Copies(OnePass):
    """Frames that are there more than once."""

    def __init__(self, asked: Asked) -> None:
        super().__init__(asked)
        self._first: dict[bytes, tuple[str, str]] = {}
        self._shared: dict[tuple[str, str], Places] = defaultdict(Places)
        self._originals: dict[tuple[str, str], str] = {}
        self._repeated: dict[str, Places] = defaultdict(Places)

    def see(self, frame: View) -> None:
        """Look whether the frame was there before."""
        if len(frame.numbers) < 2:
            return
        key = frame_hash(frame)
        if key not in self._first:
            self._first[key] = (frame.set_name, frame.place)
            return
        name, place = self._first[key]
        if name == frame.set_name:
            self._repeated[name].add(frame.place)
            return
        self._originals.setdefault((name, frame.set_name), place)
        self._shared[name, frame.set_name].add(frame.place)

    def findings(self) -> Iterator[Finding]:
        """Of each pair of sets, then of each set."""
        for pair, places in self._shared.items():
            message = f"{places.count} frames of {pair[1]} are in {pair[0]} too"
            yield places.finding(SHARED, message, f"{places.first[0]} = {self._originals[pair]}")
        for name, places in self._repeated.items():
            yield places.finding(REPEATED, f"{places.count} frames of {name} repeat earlier ones")


def is_alone(frame: View) -> bool:
    """Whether a frame is one atom without neighbours within 6 Å.

    Args:
        frame: A frame.
    """
    if len(frame.numbers) != 1:
        return False
    if not frame.pbc.any():
        return True
    try:
        edges, _ = neighbor_list(frame.positions, frame.cell, frame.pbc, _ALONE)
    except DataError:
        return False
    return not edges.size


class Elements(OnePass):
    """Elements of sets and types, and what compositions and energies say of the energies of the elements."""

    def __init__(self, asked: Asked) -> None:
        super().__init__(asked)
        self._elements: dict[str, dict[int, str]] = defaultdict(dict)
        self._counts: dict[tuple[tuple[int, int], ...], None] = {}
        self._energies: list[float] = []
        self._compositions: list[dict[int, int]] = []
        self._atoms: dict[int, list[float]] = defaultdict(list)
        self._alone, self._unmarked = Places(), 0
        self._place = ""

    def see(self, frame: View) -> None:
        """Count elements, and keep the energies of atoms."""
        counted = Counter(frame.numbers.tolist())
        for number in counted:
            self._elements[frame.set_name].setdefault(number, frame.place)
        energy = frame.energy
        if frame.marked or is_alone(frame):
            self._alone.add(frame.place)
            self._unmarked += not frame.marked
            if energy is not None and np.isfinite(energy):
                self._atoms[int(frame.numbers[0])].append(energy)
            return
        self._place = self._place or frame.place
        self._counts.setdefault(tuple(sorted(counted.items())))
        if energy is not None and np.isfinite(energy):
            self._energies.append(energy)
            self._compositions.append(counted)

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
        offsets = [
            (energy - sum(atoms[number] * count for number, count in counted.items())) / sum(counted.values())
            for energy, counted in zip(self._energies, self._compositions, strict=True)
            if counted.keys() <= atoms.keys()
        ]
        if not offsets or allowed[0] <= (median := float(np.median(offsets))) <= allowed[1]:
            return
        shown = self.asked.quantity(median, per="/atom")
        message = f"energies differ from those of {what} by {shown} in the median of {len(offsets)} frames"
        yield Finding(check=check, count=len(offsets), example=self._place, message=message)

    def _size_findings(self) -> Iterator[Finding]:
        if len(self._energies) < 10:
            return
        matrix, _ = composition_matrix(self._compositions)
        atoms, energies = matrix.sum(axis=1), np.array(self._energies)
        if atoms.max() < 2 * atoms.min():
            return
        shares = matrix / atoms[:, None]
        total, per_atom = _unexplained(shares, energies / atoms), _unexplained(shares, energies)
        if total > _UNEXPLAINED and per_atom < 0.5 * total:
            sizes = f"{atoms.min():.0f} to {atoms.max():.0f} atoms"
            message = f"the energies of {len(energies)} frames of {sizes} do not grow with the number of atoms"
            yield Finding(check=SIZE, count=len(energies), example=self._place, message=message)


def _unexplained(shares: FloatArray, values: FloatArray) -> float:
    """Part of the values that does not follow from the shares of the elements."""
    residuals = values - shares @ np.linalg.lstsq(shares, values, rcond=1e-10)[0]
    return float(np.sqrt((residuals**2).mean() / max(float((values**2).mean()), 1e-300)))


def _number(name: str) -> int:
    """Atomic number of a chemical symbol, 0 for other names."""
    from ase.data import atomic_numbers

    return int(atomic_numbers.get(name, 0))


def _symbols(numbers: list[int]) -> str:
    from ase.data import chemical_symbols

    shown = [chemical_symbols[number] for number in numbers[:12]]
    return ", ".join(shown) + (f" and {len(numbers) - 12} more" if len(numbers) > 12 else "")
