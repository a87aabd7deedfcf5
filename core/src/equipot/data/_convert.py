"""Convert labelled frames from any format that is read to one that is fast or that others read, number by number."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from equipot import files
from equipot._progress import progress
from equipot.commands import option
from equipot.data._collection import FrameCollection
from equipot.data._label_contract import LabelContract
from equipot.data._packed import Array
from equipot.data._regular import collect_files
from equipot.data._stored import Storage, StoredFrame
from equipot.data._writers import WRITERS
from equipot.errors import ConfigError, DataError, did_you_mean, problem
from equipot.graph import Graph
from equipot.units import Units

_BETWEEN_UPDATES = 256


@dataclass(frozen=True)
class Converted:
    """What was written."""

    path: str
    n_frames: int
    config: str
    """What a config says to read it, if that are not the defaults."""

    def __str__(self) -> str:
        """One or two lines for people."""
        more = f"\nto read it, write data: {{{self.config}}}" if self.config else ""
        return f"{self.path}: {self.n_frames} frames{more}"


def check_output(path: str, inputs: Sequence[str], *, force: bool) -> None:
    """Refuse, before anything is read, a file that cannot or must not be written.

    Args:
        path: The file to write.
        inputs: The files that are read.
        force: Whether an existing file may be replaced.

    Raises:
        ConfigError: If no writer has the suffix, or the file exists.
    """
    suffix = Path(path).suffix.lower()
    if suffix not in WRITERS:
        hint = did_you_mean(suffix, WRITERS) or f"formats that are written: {', '.join(WRITERS)}"
        raise ConfigError(problem(path, "has no suffix of a format that is written", got=suffix, hint=hint))
    if any(Path(one).resolve() == Path(path).resolve() for one in inputs):
        raise ConfigError(problem(path, "is read and would be written", hint="choose another name"))
    if Path(path).is_dir() or (Path(path).exists() and not force):
        raise ConfigError(problem(path, "exists already", hint="choose another name, or give --force"))


def check_named(collection: FrameCollection, named: Collection[str], contract: LabelContract) -> None:
    """Raise a DataError if a label that was named is in no frame, so that it would be lost without a word.

    Args:
        collection: All frames.
        named: Labels that the command or a config names.
        contract: Where they were looked for.
    """
    problems = [
        problem(f"{option('labels')}, {label}", f"no frame has the key {contract[label].key!r}", hint="correct the key")
        for label in named
        if not any(label in frame for frame in collection.frames)
    ]
    if problems:
        raise DataError("\n".join(problems))


def write_collection(
    path: str, collection: FrameCollection, units: Units, *, split_key: str | None = None
) -> Converted:
    """Write the frames, read them again and compare every number, and only then give the file its name.

    Args:
        path: The file; its suffix decides the format.
        collection: All frames with their labels.
        units: Unit system of the labels.
        split_key: Key of the text by which frames are kept together in a split.

    Raises:
        DataError: If a label is NaN or infinite, or the format does not give back what was written.
    """
    _check_finite(collection)
    storage = Storage.of(collection, units)
    if not storage.labels:
        raise DataError(problem(path, "has no labels to write", hint=f"name them with {option('labels')}"))
    with files.atomic(path) as temporary:
        stored = storage.frames(collection, split_key)
        WRITERS[Path(path).suffix.lower()](temporary, _tracked(stored, len(collection.places), Path(path).name))
        _compare(
            path,
            collection,
            collect_files([str(temporary)], storage.contract(), mask_nan=True, group_key=split_key, unconverged="use"),
        )
    return Converted(path, len(collection.places), storage.config())


def _check_finite(collection: FrameCollection) -> None:
    for place, reports in zip(collection.places, collection.reports, strict=True):
        for label, report in reports.items():
            if report.non_finite == "inf":
                raise DataError(problem(f"{place}, {label}", "is infinite", hint="correct the file"))


def _tracked(frames: Iterable[StoredFrame], total: int, name: str) -> Iterator[StoredFrame]:
    with progress(f"writing {name}", total) as update:
        for number, frame in enumerate(frames):
            if number % _BETWEEN_UPDATES == 0:
                update(number)
            yield frame


def _compare(path: str, wanted: FrameCollection, found: FrameCollection) -> None:
    """Raise a DataError that names the first frame that is not the same to the last bit."""
    if len(found.places) != len(wanted.places):
        raise DataError(problem(path, f"would have {len(found.places)} of {len(wanted.places)} frames"))
    pairs = zip(wanted.frames, found.frames, strict=True)
    for index, (one, other) in enumerate(pairs):
        strange = [key for key in sorted({*one, *other}) if not _same(one, other, key)]
        strange += ["config_type"] if wanted.groups[index] != found.groups[index] else []
        if strange:
            what = f"{strange[0]} of {wanted.places[index]} cannot be kept exactly in this format"
            raise DataError(problem(path, what, hint="write .npz"))


def _same(one: Graph, other: Graph, key: str) -> bool:
    if key not in one or key not in other:
        return False
    first, second = one[key].numpy(), other[key].numpy()
    return first.dtype == second.dtype and first.shape == second.shape and _bytes(first) == _bytes(second)


def _bytes(array: Array) -> bytes:
    return np.ascontiguousarray(array).tobytes()
