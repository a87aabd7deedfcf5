"""Frames of extended XYZ that look like an earlier frame of the file: only their numbers are read.

Most files have thousands of frames with the same keys and columns. The first of them goes the whole way, through ASE
and ``frame_from_atoms``. From its text and its frame follows where each number of the frame is; if these numbers,
read in the short way, are the same to the last bit, the next frames with the same keys and columns are read so. Their
keys may have another order, and text that stands for nothing but itself may differ.
Whatever is unusual goes the whole way: notes of the reader, labels that are not used or not finite, weights of zero,
units that differ, numbers under keys of groups, single atoms, unknown fields.
"""

from __future__ import annotations

import functools
import io
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from equipot._progress import progress
from equipot.data._collection import FrameCollection, Unconverged, collect_frames
from equipot.data._deepmd import is_deepmd
from equipot.data._extxyz import read_extxyz
from equipot.data._formats import format_of
from equipot.data._frames import LabelContract, LabelReport
from equipot.data._packed import SameButNumbers
from equipot.data._packed_npz import PackedArchive, packed_archive
from equipot.data._readers import check_file, head_of, read_placed
from equipot.data._regular_plan import Plan, plan_of
from equipot.data._regular_text import GROUPS, Text, stored_apart, taken_apart
from equipot.data._remarks import UNKNOWN_UNIT, UNUSED_WEIGHTS
from equipot.data._streams import compression, opened, reading
from equipot.graph import Graph

if TYPE_CHECKING:
    from ase import Atoms

    from equipot.data._collection import FrameNote
    from equipot.data._stored import StoredFrame

_FROM_KEYS = (UNKNOWN_UNIT, UNUSED_WEIGHTS)
"""Notes that are the same for all frames of one kind."""

_MOST_PLANS = 256
"""Kinds of frames that are remembered; a file with more has keys or units that differ from frame to frame."""

_MOST_TRIES = 8
"""Frames of one kind from which a plan is made, in case that the first ones are unusual, e.g. have a weight of zero."""

_BETWEEN_UPDATES = 256


@functools.cache
def _results() -> frozenset[str]:
    """Keys that ASE takes for results of a calculation, with any value."""
    from ase.calculators.calculator import all_properties

    return frozenset(all_properties)


class RegularFrames:
    """Knows the kinds of frames that were met.

    Args:
        contract: Where the labels are.
        split_key: Key of the text or number by which frames are kept together in a split.
    """

    def __init__(self, contract: LabelContract, split_key: str | None = None) -> None:
        self._contract, self._split_key = contract, split_key
        self._weights = {key.rpartition(":")[2] for source in contract.values() for key in source.weights}
        self._not_text = {source.key.rpartition(":")[2] for source in contract.values()} | self._weights | _results()
        self._names = {*GROUPS, *([] if split_key is None else [split_key])}
        self._plans: dict[tuple[Any, ...], Plan] = {}
        self._tries: Counter[tuple[Any, ...]] = Counter()
        self._last: Text | None = None

    def match(self, lines: list[str]) -> SameButNumbers | None:
        """The frame, if it looks like an earlier one; None: it has to go the whole way.

        Args:
            lines: The lines of the frame.
        """
        return self._matched(taken_apart(lines, self._names, self._weights))

    def match_stored(self, frame: StoredFrame) -> SameButNumbers | None:
        """As ``match`` for a frame of a packed archive.

        Args:
            frame: As it is stored.
        """
        return self._matched(stored_apart(frame, self._weights))

    def _matched(self, text: Text | None) -> SameButNumbers | None:
        self._last = text
        plan = None if text is None else self._plans.get(text.signature)
        return None if plan is None or text is None else plan.read(text)

    def learn(self, frame: Graph, reports: Mapping[str, LabelReport], notes: Sequence[FrameNote], index: int) -> None:
        """Learn from the frame that ``match`` was last asked about, after it went the whole way.

        Args:
            frame: What it became.
            reports: How its labels were read.
            notes: What the reader saw in it; with others than those that follow from its keys, each frame of its kind
                goes the whole way.
            index: Of the frame in its collection.
        """
        text, self._last = self._last, None
        if text is None or text.signature in self._plans:
            return
        if self._tries[text.signature] >= _MOST_TRIES or len(self._tries) >= _MOST_PLANS:
            return
        self._tries[text.signature] += 1
        usual = all(note.code in _FROM_KEYS for note in notes) and self._not_text.isdisjoint(text.words)
        made = plan_of(text, frame, reports, self._contract, index, self._split_key) if usual else None
        if made is not None:
            self._plans[text.signature] = made


# ---------------------------------------------------------------------------------- files


def read_regular(
    files: Iterable[str],
    ase_args: Mapping[str, Any] | None,
    regular: RegularFrames,
    species: Mapping[Any, str] | None = None,
) -> Iterator[tuple[str, Atoms | SameButNumbers]]:
    """As ``read_placed``, but frames that look like an earlier one are not made into ``Atoms``.

    These are frames of extended XYZ and of packed archives.

    Args:
        files: Paths.
        ase_args: As for ``read_atoms``; files of which only a selection of frames is read are read by ``read_placed``.
        regular: Learns of each frame that goes the whole way.
        species: As for ``read_atoms``.

    Raises:
        DataError: As for ``read_atoms``.
    """
    names = {str(name): symbol for name, symbol in (species or {}).items()}
    for file in files:
        if "index" not in (ase_args or {}) and not is_deepmd(Path(file)) and _is_extxyz(file, ase_args):
            yield from _extxyz(Path(file), regular, names)
        elif not ase_args and Path(file).suffix.lower() == ".npz" and (archive := packed_archive(file)) is not None:
            yield from _packed(archive, regular)
        else:
            yield from read_placed([file], ase_args, names)


def collect_files(
    files: Iterable[str],
    contract: LabelContract,
    *,
    ase_args: Mapping[str, Any] | None = None,
    species: Mapping[Any, str] | None = None,
    mask_nan: bool = False,
    unconverged: Unconverged = "error",
    group_key: str | None = None,
) -> FrameCollection:
    """All frames of several files, read the short way where that is possible.

    Args:
        files: Paths.
        contract: Labels to read.
        ase_args: As for ``read_atoms``.
        species: As for ``read_atoms``.
        mask_nan: As for ``collect_frames``.
        unconverged: As for ``collect_frames``.
        group_key: As for ``collect_frames``.

    Raises:
        DataError: As for ``read_atoms`` and ``collect_frames``.
    """
    regular = RegularFrames(contract, group_key)
    return collect_frames(
        read_regular(files, ase_args, regular, species),
        contract,
        mask_nan=mask_nan,
        unconverged=unconverged,
        learn=regular.learn,
        group_key=group_key,
    )


def _is_extxyz(file: str, ase_args: Mapping[str, Any] | None) -> bool:
    check_file(file)
    with reading(file), opened(Path(file)) as stream:
        return bool(((ase_args or {}).get("format") or format_of(Path(file), head_of(stream))) == "extxyz")


def _extxyz(
    file: Path, regular: RegularFrames, species: Mapping[str, str]
) -> Iterator[tuple[str, Atoms | SameButNumbers]]:
    number = 0

    def place() -> str:
        return f"{file}, frame {number} (counted from 0)"

    size = 0 if compression(file) else file.stat().st_size
    with (
        reading(place),
        opened(file) as stream,
        io.TextIOWrapper(stream, encoding="utf-8-sig") as lines,
        progress(f"reading {file.name}", size) as update,
    ):
        for number, atoms in enumerate(read_extxyz(lines, str(file), species, known=regular.match)):
            if size and number % _BETWEEN_UPDATES == 0:
                update(stream.tell())
            yield f"{file}, frame {number}", atoms


def _packed(archive: PackedArchive, regular: RegularFrames) -> Iterator[tuple[str, Atoms | SameButNumbers]]:
    with progress(f"reading {Path(archive.path).name}", len(archive)) as update:
        for index in range(len(archive)):
            if index % _BETWEEN_UPDATES == 0:
                update(index)
            place = f"{archive.path}, frame {index}"
            with reading(place, "convert the data again"):
                frame = archive.frame(index)
                found = regular.match_stored(frame) or frame.to_atoms()
            yield place, found
