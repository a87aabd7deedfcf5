"""Frames of large files on disk as they are in memory: the next run maps them instead of reading the files again.

An entry consists of the arrays of ``PackedFrames`` in one file, which is mapped, and of an index in JSON, which states
the digest of that file. What an entry depends on is its key: the contents of the files, the labels, all options of
reading, and the code that reads.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import logging
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from equipot import caches
from equipot._version import __version__
from equipot.data._collection import FrameCollection, FrameNote, compositions_of
from equipot.data._frames import LabelReport
from equipot.data._packed import Array, PackedFrames
from equipot.errors import ArtifactError
from equipot.files import atomic, file_digest, stream_digest

logger = logging.getLogger(__name__)

FROM_BYTES = 16 * 1024**2
"""Size of the files of a set from which on its frames are kept; smaller ones are read in a second or two."""

_FORMAT = 2
_ALIGNED = 64
_MOST_KINDS = 10_000
_KEPT = ("frames", "reports", "places", "keys", "isolated", "notes", "groups", "split_keys")
_FOLLOWS = ("compositions",)
"""The parts of a collection that are kept, and those that follow from them; one with any other part is not kept."""

_DTYPES = ("float64", "int64", "int32", "bool")


def cached_collection(
    folder: Path | None, files: Sequence[str], options: Mapping[str, Any], read: Callable[[], FrameCollection]
) -> FrameCollection:
    """The frames of files from the cache, or read and then kept there.

    Args:
        folder: Folder of caches; None: nothing is kept.
        files: What is read.
        options: Everything else that the frames depend on, in plain containers.
        read: Reads the files.
    """
    before = _state(files)
    if folder is None or sum(size for size, _ in before) < FROM_BYTES or not caches.own_folder(folder / "frames"):
        return read()
    key = json.dumps({**options, "files": [file_digest(file) for file in files], "code": _code()}, sort_keys=True)
    path = folder / "frames" / f"{hashlib.sha256(key.encode()).hexdigest()}.json"
    kept = _load(path, key, files)
    if kept is not None:
        logger.info("frames mapped from %s", path)
        return kept
    found = read()
    if _state(files) == before:
        try:
            _store(path, key, files, found)
        except (ArtifactError, OSError) as error:
            logger.warning("frames are not kept for the next run: %s", error)
    return found


def _state(files: Iterable[str]) -> list[tuple[int, int]]:
    """Size and time of each file, (0, 0) for others than regular files."""
    found = []
    for file in files:
        try:
            status = Path(file).stat()
        except (OSError, ValueError):  # reading it says what is wrong
            found.append((0, 0))
            continue
        found.append((status.st_size, status.st_mtime_ns) if Path(file).is_file() else (0, 0))
    return found


def _code() -> list[str]:
    """What reads: versions, and the source files of this package."""
    import ase

    own = sorted(Path(__file__).parent.glob("*.py"))
    return [str(_FORMAT), __version__, ase.__version__, np.__version__, *map(file_digest, own)]


# -------------------------------------------------------------------------------- storing


def _store(path: Path, key: str, files: Sequence[str], found: FrameCollection) -> None:
    frames = found.frames
    if {one.name for one in dataclasses.fields(found)} != {*_KEPT, *_FOLLOWS} or not isinstance(frames, PackedFrames):
        return
    placed = _place_numbers(found.places, files)
    tables, codes = _tables(found)
    if placed is None or tables is None or len(frames.indices) != len(frames.counts):
        return
    arrays = {
        **{f"field {name}": value.numpy() for name, value in frames.fields.items()},
        **{f"present {name}": value for name, value in frames.present.items()},
        **{f"code {name}": value for name, value in codes.items()},
        "counts": frames.counts,
        "isolated": np.array(found.isolated, bool),
        **placed,
    }
    index: dict[str, Any] = {"tables": tables, "arrays": {}}
    with atomic(path.with_suffix(".bin")) as temporary:
        temporary.chmod(0o600)
        with temporary.open("w+b") as file:
            for name, array in arrays.items():
                file.write(b"\0" * (-file.tell() % _ALIGNED))
                index["arrays"][name] = [file.tell(), str(array.dtype), list(array.shape)]
                np.ascontiguousarray(array).tofile(file)
            index["sha256"], index["size"] = stream_digest(file), file.seek(0, os.SEEK_END)
    caches.write_entry(path, key, index)


def _place_numbers(places: Sequence[str], files: Sequence[str]) -> dict[str, Array] | None:
    """File and index of each frame, if all places are made of these."""
    starts = {file: number for number, file in enumerate(files)}
    file_of, index_of = np.zeros(len(places), np.int32), np.zeros(len(places), np.int64)
    for number, place in enumerate(places):
        file, _, index = place.rpartition(", frame ")
        if file not in starts or not index.isdigit():
            return None
        file_of[number], index_of[number] = starts[file], int(index)
    return {"place file": file_of, "place index": index_of}


def _tables(found: FrameCollection) -> tuple[dict[str, list[Any]] | None, dict[str, Array]]:
    """The different values of each list of a collection, in plain containers, and which of them each frame has."""
    encoders: dict[str, Callable[[Any], Any]] = {
        "reports": lambda one: {label: dataclasses.asdict(report) for label, report in one.items()},
        "keys": list,
        "notes": lambda one: [[note.code, note.text] for note in one],
        "groups": str,
        "split_keys": str,
    }
    tables: dict[str, list[Any]] = {}
    codes: dict[str, Array] = {}
    for name, encode in encoders.items():
        numbers: list[int] = []
        by_text: dict[str, int] = {}
        by_identity: dict[int, int] = {}
        for value in getattr(found, name):
            code = by_identity.get(id(value))
            if code is None:
                text = json.dumps(encode(value), sort_keys=True)
                code = by_identity[id(value)] = by_text.setdefault(text, len(by_text))
            numbers.append(code)
        if len(by_text) > _MOST_KINDS:
            return None, {}
        tables[name] = [json.loads(text) for text in by_text]
        codes[name] = np.array(numbers, np.int32)
    return tables, codes


# -------------------------------------------------------------------------------- loading


def _load(path: Path, key: str, files: Sequence[str]) -> FrameCollection | None:
    index = caches.read_entry(path, key, _is_index)
    if index is None or (stream := caches.own_stream(path.with_suffix(".bin"))) is None:
        return None
    with stream:
        if os.fstat(stream.fileno()).st_size != index["size"] or stream_digest(stream) != index["sha256"]:
            caches.say_damaged(path.with_suffix(".bin"))
            return None
        whole = np.memmap(stream, np.uint8, mode="c")
    arrays = dict(_mapped(whole, index["arrays"]))
    tables = {
        "reports": [{label: LabelReport(**one) for label, one in made.items()} for made in index["tables"]["reports"]],
        "keys": [tuple(made) for made in index["tables"]["keys"]],
        "notes": [tuple(FrameNote(*one) for one in made) for made in index["tables"]["notes"]],
        "groups": index["tables"]["groups"],
        "split_keys": index["tables"]["split_keys"],
    }
    lists = {name: [table[code] for code in arrays[f"code {name}"].tolist()] for name, table in tables.items()}
    places = zip(arrays["place file"].tolist(), arrays["place index"].tolist(), strict=True)
    return FrameCollection(
        frames=PackedFrames(
            {name: torch.from_numpy(value) for name, value in _named(arrays, "field ")},
            dict(_named(arrays, "present ")),
            np.array(arrays["counts"]),
        ),
        places=[f"{files[file]}, frame {number}" for file, number in places],
        isolated=arrays["isolated"].tolist(),
        compositions=compositions_of(arrays["field atomic_numbers"], arrays["counts"]),
        **lists,
    )


def _named(arrays: Mapping[str, Array], start: str) -> Iterator[tuple[str, Array]]:
    return ((name.removeprefix(start), value) for name, value in arrays.items() if name.startswith(start))


def _mapped(whole: Array, described: Mapping[str, Any]) -> Iterator[tuple[str, Array]]:
    for name, (start, dtype, shape) in described.items():
        kind = np.dtype(dtype)
        yield name, whole[start : start + kind.itemsize * int(np.prod(shape))].view(kind).reshape(shape)


def _is_index(index: Any) -> bool:
    """Whether an entry is an index of this format; its digest says that it was written here."""
    with contextlib.suppress(TypeError, ValueError, KeyError, AttributeError):
        described = all(
            dtype in _DTYPES and all(type(number) is int and number >= 0 for number in (start, *shape))
            for start, dtype, shape in index["arrays"].values()
        )
        return described and isinstance(index["tables"], dict) and isinstance(index["size"], int)
    return False
