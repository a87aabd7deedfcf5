"""Collections of frames, with what the census counts of each; sets larger than memory are read lazily."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, overload

from equipot.data._frames import LabelContract, LabelReport, frame_from_atoms, info_of, keys_found
from equipot.data._streams import reading
from equipot.errors import DataError, problem
from equipot.graph import Graph

if TYPE_CHECKING:
    from ase import Atoms

_SHOWN = 5
_LONGEST_KEY = 200


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


@dataclass(frozen=True)
class FrameNote:
    """Something a reader saw in one frame that the checks judge."""

    code: str
    """Code of the check that reports it."""
    text: str
    """What was seen; frames with the same code and text are counted together."""


NOTES = "equipot_notes"
"""Key in ``Atoms.info`` under which readers leave a list of ``(code, text)``; it is no label and no unused key."""


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
    """What the reader saw beside the numbers, e.g. a unit in the comment."""
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
            frames=frames.subset(indices) if isinstance(frames, LazyFrames) else [frames[index] for index in indices],
            reports=[self.reports[index] for index in indices],
            places=[self.places[index] for index in indices],
            keys=[self.keys[index] for index in indices],
            isolated=[self.isolated[index] for index in indices],
            notes=[self.notes[index] for index in indices] if self.notes else [],
            groups=[self.groups[index] for index in indices] if self.groups else [],
            compositions=[self.compositions[index] for index in indices] if self.compositions else [],
            split_keys=[self.split_keys[index] for index in indices] if self.split_keys else [],
        )

    @property
    def labels(self) -> set[str]:
        """Labels that at least one of the frames has."""
        return {label for report in self.reports for label, one in report.items() if one.source and not one.ignored}


def collect_frames(
    atoms_by_place: Iterable[tuple[str, Atoms]],
    contract: LabelContract,
    *,
    mask_nan: bool = False,
    keep: bool = True,
    group_key: str | None = None,
) -> FrameCollection:
    """Convert ``ase.Atoms`` to frames, with what the census counts of each.

    Args:
        atoms_by_place: The place of each structure (for messages) and the structure.
        contract: Labels to read.
        mask_nan: Treat NaN in a label as missing.
        keep: False leaves ``frames`` empty, for the caller to fill in.
        group_key: Key in ``info`` whose value goes to ``split_keys``.

    Raises:
        DataError: With the first few frames that cannot be used.
    """
    frames: list[Graph] = []
    collection = FrameCollection(frames)
    problems: list[str] = []
    shared: dict[Composition, Composition] = {}  # most frames have the composition of another one
    for where, atoms in atoms_by_place:
        try:
            frame, reports = frame_from_atoms(atoms, contract, where, mask_nan=mask_nan)
            with reading(where):
                keys = tuple(keys_found(atoms))
        except DataError as error:
            problems.append(str(error))
            continue
        if keep:
            frames.append(frame)
        made = composition_of(frame)
        collection.compositions.append(shared.setdefault(made, made))
        if group_key is not None:
            collection.split_keys.append(str(info_of(atoms).get(group_key, ""))[:_LONGEST_KEY])
        collection.reports.append(reports)
        collection.places.append(where)
        collection.keys.append(keys)
        collection.isolated.append(_is_isolated(atoms, where, problems))
        collection.notes.append(tuple(FrameNote(*one) for one in atoms.info.get(NOTES, ())))
        collection.groups.append(str(atoms.info.get("config_type", atoms.info.get("group", ""))))
    if problems:
        more = [f"and {len(problems) - _SHOWN} more frames"] if len(problems) > _SHOWN else []
        raise DataError("\n".join([*problems[:_SHOWN], *more]))
    return collection


def _is_isolated(atoms: Atoms, where: str, problems: list[str]) -> bool:
    marked = str(atoms.info.get("config_type", "")).replace("_", "").lower() == "isolatedatom"
    if marked and len(atoms) != 1:
        problems.append(problem(where, f"config_type is IsolatedAtom but the frame has {len(atoms)} atoms"))
    return marked
