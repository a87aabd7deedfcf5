"""Collections of frames, with what the census counts of each; sets larger than memory are read lazily."""

from __future__ import annotations

import functools
import logging
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, overload

import numpy as np

from equipot.commands import option, setting
from equipot.data._frames import LabelContract, LabelReport, frame_from_atoms, frame_remarks, info_of, keys_found
from equipot.data._packed import Array, PackedFrames, Packer, SameButNumbers
from equipot.data._streams import reading
from equipot.errors import DataError, problem
from equipot.graph import Graph

if TYPE_CHECKING:
    from ase import Atoms

logger = logging.getLogger(__name__)

_SHOWN = 5
LONGEST_KEY = 200
"""Characters of the text by which frames are kept together in a split."""

_AT_ONCE = 10_000


class LazyFrames(Sequence[Graph]):
    """A sequence of frames, each made when it is accessed.

    Args:
        make: Gives the frame of an index. Loaders may call it in other processes, so it must be picklable.
        indices: Indices of the frames, in order.
    """

    def __init__(self, make: Callable[[int], Graph], indices: Sequence[int]) -> None:
        self._make = make
        self._indices = indices

    def __len__(self) -> int:
        return len(self._indices)

    @overload
    def __getitem__(self, index: int) -> Graph: ...

    @overload
    def __getitem__(self, index: slice) -> LazyFrames: ...

    def __getitem__(self, index: int | slice) -> Graph | LazyFrames:
        """One frame, or lazy frames for a slice."""
        if isinstance(index, slice):
            return LazyFrames(self._make, self._indices[index])
        return self._make(self._indices[index])

    def __iter__(self) -> Iterator[Graph]:
        return (self._make(index) for index in self._indices)

    def subset(self, indices: Sequence[int]) -> LazyFrames:
        """Some of the frames, in the given order."""
        return LazyFrames(self._make, [self._indices[index] for index in indices])

    def map(self, function: Callable[[Graph], Graph]) -> LazyFrames:
        """The same frames with a picklable function applied to each."""
        return LazyFrames(functools.partial(_chained, self._make, function), self._indices)


def _chained(make: Callable[[int], Graph], function: Callable[[Graph], Graph], index: int) -> Graph:
    return function(make(index))


Composition = tuple[tuple[int, int], ...]
"""Atomic numbers in order, each with its number of atoms."""


def composition_of(frame: Graph) -> Composition:
    """Elements of a frame and their numbers of atoms."""
    return tuple(sorted(Counter(frame["atomic_numbers"].tolist()).items()))


def compositions_of(numbers: Array, counts: Array) -> list[Composition]:
    """Elements and numbers of atoms of many frames; most share theirs with another frame.

    Args:
        numbers: Atomic numbers of all frames, one after another; shape [n_atoms].
        counts: Numbers of atoms of the frames; shape [n_frames].
    """
    elements, which = np.unique(numbers, return_inverse=True)
    ends, found = np.cumsum(counts), []
    for first in range(0, len(counts), _AT_ONCE):
        some = counts[first : first + _AT_ONCE]
        frame = np.repeat(np.arange(len(some)), some)
        start = ends[first] - counts[first]
        cells = frame * len(elements) + which[start : start + len(frame)]
        table = np.bincount(cells, minlength=len(some) * len(elements)).reshape(len(some), -1)
        rows, row_of = np.unique(table, axis=0, return_inverse=True)
        made = [
            tuple((int(elements[index]), int(row[index])) for index in np.flatnonzero(row))  # only those that it has
            for row in rows
        ]
        found += [made[index] for index in row_of.reshape(-1)]
    return found


@dataclass(frozen=True)
class FrameNote:
    """Something a reader saw in one frame that the checks judge."""

    code: str
    """Code of the check that reports it."""
    text: str
    """What was seen; frames with the same code and text are counted together."""


NOTES = "equipot_notes"
"""Key in ``Atoms.info`` under which readers leave a list of ``(code, text)``; it is not a label."""

UNCONVERGED, DROPPED, FORCE_CONSISTENT = "unconverged-scf", "unconverged-dropped", "force-consistent-energy"
"""Codes of notes: on a frame that did not converge, on a set that had some, on a frame whose free energy is taken."""

_OPTION = "data.unconverged"

Unconverged = Literal["error", "drop", "use"]
"""What is done with frames whose self-consistent cycle did not converge."""


def notes_of(atoms: Atoms) -> tuple[FrameNote, ...]:
    """What the reader noted of a structure; anything else under the key, which may come from the file, is left out."""
    given = atoms.info.get(NOTES)
    pairs = given if isinstance(given, list) else []
    return tuple(FrameNote(*one) for one in pairs if isinstance(one, tuple) and len(one) == 2)


class ConvergedFrames:
    """Structures whose self-consistent cycle converged, as far as their files tell; iterated over once.

    Args:
        placed: The place of each structure and the structure.
        unconverged: ``error`` refuses the others after all were counted, ``drop`` leaves them out, ``use`` keeps them.
    """

    def __init__(self, placed: Iterable[tuple[str, Any]], unconverged: Unconverged = "error") -> None:
        self._placed, self._unconverged = placed, unconverged
        self.others: list[str] = []
        """Places of the structures that did not converge, with what the program says."""

    def __iter__(self) -> Iterator[tuple[str, Any]]:
        """The structures.

        Raises:
            DataError: At the end, if there are others and they are refused, or nothing else.
        """
        number = 0
        for number, (place, atoms) in enumerate(self._placed, 1):  # noqa: B007 - the number is used after the loop
            failed = next((note.text for note in notes_of(atoms) if note.code == UNCONVERGED), "")
            if failed:
                self.others.append(f"{place} ({failed})")
            if not failed or self._unconverged == "use":
                yield place, atoms
        if not self.others or self._unconverged == "use":
            return
        what = f"{len(self.others)} of {number} frames did not converge: {_first(self.others)}"
        if self._unconverged == "error" or len(self.others) == number:
            hint = f"{setting(_OPTION, 'drop')} leaves them out, {setting(_OPTION, 'use')} takes them as they are"
            raise DataError(problem(option(_OPTION), what, hint=hint))
        logger.warning("%s; they are left out", what)


def _first(places: Sequence[str]) -> str:
    more = f" and {len(places) - _SHOWN} more" if len(places) > _SHOWN else ""
    return ", ".join(places[:_SHOWN]) + more


@dataclass
class FrameCollection:
    """Frames and what is known of each: sequences of equal length, one entry per frame."""

    frames: Sequence[Graph] = field(default_factory=list)
    reports: list[dict[str, LabelReport]] = field(default_factory=list)
    places: list[str] = field(default_factory=list)
    """``FILE, frame INDEX`` (counted from 0)."""
    keys: list[tuple[str, ...]] = field(default_factory=list)
    """Numeric values of the frame besides its geometry, as ``place:key``."""
    isolated: list[bool] = field(default_factory=list)
    """Marked with ``config_type=IsolatedAtom``."""
    notes: list[tuple[FrameNote, ...]] = field(default_factory=list)
    """What the reader saw besides the numbers, e.g. a unit in the comment."""
    groups: list[str] = field(default_factory=list)
    """``config_type`` (or ``group``) of the frame as text; empty without."""
    compositions: list[Composition] = field(default_factory=list)
    """Elements of the frame and their numbers of atoms; ``composition`` computes those that a reader has left out."""
    split_keys: list[str] = field(default_factory=list)
    """What the frame has under the key by which frames are kept together in a split; empty without."""

    def composition(self, index: int) -> Composition:
        """Elements of a frame and their numbers of atoms."""
        return self.compositions[index] if self.compositions else composition_of(self.frames[index])

    def single_atoms(self) -> list[int]:
        """Frames of one atom."""
        number = len(self.places)
        return [index for index in range(number) if sum(count for _, count in self.composition(index)) == 1]

    def subset(self, indices: Sequence[int]) -> FrameCollection:
        """Some of the frames, in the given order."""
        frames = self.frames
        return FrameCollection(
            frames=frames.subset(indices)
            if isinstance(frames, (LazyFrames, PackedFrames))
            else [frames[index] for index in indices],
            reports=[self.reports[index] for index in indices],
            places=[self.places[index] for index in indices],
            keys=[self.keys[index] for index in indices],
            isolated=[self.isolated[index] for index in indices],
            notes=[self.notes[index] for index in indices] if self.notes else [],
            groups=[self.groups[index] for index in indices] if self.groups else [],
            compositions=[self.compositions[index] for index in indices] if self.compositions else [],
            split_keys=[self.split_keys[index] for index in indices] if self.split_keys else [],
        )

    def repeat(self, index: int, place: str, own: Mapping[str, Any] | None = None) -> None:
        """Add what is known of a frame once more, for another frame of which the same is known.

        Args:
            index: Of the first of them.
            place: Of the other one.
            own: What differs, by the name of the list.
        """
        every = ("reports", "keys", "isolated", "notes", "groups", *(["split_keys"] if self.split_keys else []))
        for name in every:
            known: list[Any] = getattr(self, name)
            known.append(known[index] if own is None or name not in own else own[name])
        self.places.append(place)

    @property
    def labels(self) -> set[str]:
        """Labels that at least one of the frames has."""
        return {label for report in self.reports for label, one in report.items() if one.source and not one.ignored}


def collect_frames(
    atoms_by_place: Iterable[tuple[str, Atoms | SameButNumbers]],
    contract: LabelContract,
    *,
    mask_nan: bool = False,
    keep: bool = True,
    unconverged: Unconverged = "error",
    learn: Callable[[Graph, dict[str, LabelReport], tuple[FrameNote, ...], int], None] | None = None,
    group_key: str | None = None,
) -> FrameCollection:
    """Convert ``ase.Atoms`` to frames, with what the census counts of each.

    Args:
        atoms_by_place: The place of each structure (for messages) and the structure.
        contract: Labels to read.
        mask_nan: Treat NaN in a label as missing.
        keep: False leaves ``frames`` empty, for the caller to fill in.
        unconverged: What is done with frames that did not converge, as in ``ConvergedFrames``.
        learn: Told of each structure that was converted, with its frame, reports, notes and index; the structures may
            then also be ``SameButNumbers``.
        group_key: Key in ``info`` whose value goes to ``split_keys``.

    Raises:
        DataError: With the first few frames that cannot be used.
    """
    packer = Packer()
    collection = FrameCollection()
    problems: list[str] = []
    converged = ConvergedFrames(atoms_by_place, unconverged)
    for where, atoms in converged:
        if isinstance(atoms, SameButNumbers):
            packer.add_arrays(atoms.fields)
            collection.repeat(atoms.example, where, atoms.own)
            continue
        try:
            frame, reports = frame_from_atoms(atoms, contract, where, mask_nan=mask_nan)
            with reading(where):
                keys = tuple(sorted(keys_found(atoms)))
                remarks = sorted(frame_remarks(atoms, contract, where))
        except DataError as error:
            problems.append(str(error))
            continue
        if keep:
            packer.add(frame)
        else:
            collection.compositions.append(composition_of(frame))
        info = info_of(atoms)
        if group_key is not None:
            collection.split_keys.append(str(info.get(group_key, ""))[:LONGEST_KEY])
        collection.reports.append(reports)
        collection.places.append(where)
        collection.keys.append(keys)
        collection.isolated.append(_is_isolated(info, len(atoms), where, problems))
        collection.notes.append((*notes_of(atoms), *_energy_note(reports), *(FrameNote(*one) for one in remarks)))
        collection.groups.append(str(info.get("config_type", info.get("group", ""))))
        if learn is not None and not problems:
            learn(frame, reports, collection.notes[-1], len(collection.places) - 1)
    if problems:
        more = [f"and {len(problems) - _SHOWN} more frames"] if len(problems) > _SHOWN else []
        raise DataError("\n".join([*problems[:_SHOWN], *more]))
    if unconverged == "drop" and converged.others and collection.notes:
        text = f"{len(converged.others)} frames did not converge and are left out: {_first(converged.others)}"
        collection.notes[0] = (*collection.notes[0], FrameNote(DROPPED, text))
    if keep and collection.places:
        frames = packer.finish()
        collection.frames = frames
        collection.compositions = compositions_of(frames.fields["atomic_numbers"].numpy(), frames.counts)
    return collection


def _energy_note(reports: dict[str, LabelReport]) -> list[FrameNote]:
    """A note if another energy was taken because forces belong to it."""
    taken = [(report.source, report.instead_of) for report in reports.values() if report.instead_of]
    return [
        FrameNote(FORCE_CONSISTENT, f"{source} is taken, of which forces are the derivatives, not {other}")
        for source, other in taken
    ]


def _is_isolated(info: Mapping[str, Any], n_atoms: int, where: str, problems: list[str]) -> bool:
    marked = str(info.get("config_type", "")).replace("_", "").lower() == "isolatedatom"
    if marked and n_atoms != 1:
        problems.append(problem(where, f"config_type is IsolatedAtom but the frame has {n_atoms} atoms"))
    return marked
