"""Data sets in LMDB files, with random access; values are safetensors, so that nothing is unpickled.

The key ``format`` holds JSON with the version of the format and the number of frames; the keys from
``000000000000`` hold the frames in order.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import lmdb
import numpy as np
from safetensors.numpy import load, save

from equipot import files
from equipot.data import LMDBReader, check_file, reading
from equipot.errors import DataError, problem
from equipot_toolbox._frame_source import FileSource, FrameSource

if TYPE_CHECKING:
    from ase import Atoms

FORMAT_KEY = b"format"
FORMAT = "equipot frames"
FORMAT_VERSION = 1
_MAP_SIZE = 2**40  # reserves address space; the file grows only as needed
_COMMIT_EVERY = 1000


@dataclass(frozen=True, kw_only=True)
class LMDBDataset(FileSource):
    """Frames in a file written by ``python -m equipot_toolbox.convert`` or ``write_lmdb``.

    Frames are read on each access, so that sets may be larger than memory. LMDB files of other programs,
    whose values are pickled objects, are refused.
    """

    in_memory = False

    file_path: str = field(kw_only=False)
    """The file."""

    @functools.cached_property
    def _stored(self) -> _StoredFrames:
        return _StoredFrames(self.file_path)

    def opened(self) -> FrameSource:
        """The open file; a forked process can use the one that it inherits, as each read says where it starts."""
        return self._stored


class _StoredFrames(FrameSource):
    """Frames of an open file."""

    def __init__(self, path: str) -> None:
        check_file(path)
        self._path, self._stored = path, LMDBReader(path)
        self._frames = _checked_length(path, self._stored.get(FORMAT_KEY))
        if self._frames != len(self._stored) - 1:
            what = f"is damaged: it states {self._frames} frames and has {len(self._stored) - 1}"
            raise DataError(problem(path, what, hint="convert the data again"))

    def paths(self) -> list[str]:
        return [self._path]

    def __len__(self) -> int:
        return self._frames

    def atoms(self, index: int) -> Atoms:
        value = self._stored.get(_key(index))
        if value is None:
            raise DataError(problem(self.place(index), "is damaged: the frame is missing"))
        with reading(self.place(index), "convert the data again"):
            return atoms_of(load(value))

    def place(self, index: int) -> str:
        return f"{self._path}, frame {index}"


def _checked_length(path: str, raw: bytes | None) -> int:
    """Number of frames, from the header."""
    hint = "make one with: python -m equipot_toolbox.convert data.extxyz data.lmdb"
    try:
        header = json.loads(bytes(raw or b"{}"))
        name, version, frames = header["format"], header["version"], header["frames"]
    except (ValueError, KeyError, TypeError, RecursionError):
        raise DataError(problem(path, "does not contain equipot frames", hint=hint)) from None
    if name != FORMAT or version != FORMAT_VERSION:
        raise DataError(problem(path, "has an unknown format", got=f"{name} {version}", hint=hint))
    if not isinstance(frames, int):
        raise DataError(problem(path, "does not say how many frames it has", got=frames, hint=hint))
    return frames


def write_lmdb(path: str | Path, frames: Iterable[Atoms]) -> int:
    """Write frames with their labels, atomically.

    Args:
        path: The new file; an existing one is replaced.
        frames: As ASE reads them; all numeric values in results, info and arrays are kept.

    Returns:
        Number of frames.
    """
    count = 0
    with (
        files.atomic(path) as temporary,
        lmdb.open(str(temporary), subdir=False, map_size=_MAP_SIZE, lock=False, sync=True) as environment,
    ):
        transaction = environment.begin(write=True)
        for atoms in frames:
            transaction.put(_key(count), save(record_of(atoms)))
            count += 1
            if count % _COMMIT_EVERY == 0:
                transaction.commit()
                transaction = environment.begin(write=True)
        header = {"format": FORMAT, "version": FORMAT_VERSION, "frames": count}
        transaction.put(FORMAT_KEY, json.dumps(header).encode())
        transaction.commit()
    return count


def _key(index: int) -> bytes:
    return f"{index:012d}".encode()


def record_of(atoms: Atoms) -> dict[str, np.ndarray[Any, np.dtype[Any]]]:
    """A frame as named arrays: the geometry, ``<results|info|arrays>/<key>``, and ``config_type`` as bytes."""
    record = {
        "positions": np.asarray(atoms.positions, dtype=np.float64),
        "atomic_numbers": np.asarray(atoms.numbers, dtype=np.int64),
        "cell": np.asarray(atoms.cell.array, dtype=np.float64),
        "pbc": np.asarray(atoms.pbc, dtype=np.bool_),
    }
    results = getattr(atoms.calc, "results", None) or {}
    for place, held in (("results", results), ("info", atoms.info), ("arrays", atoms.arrays)):
        for key, value in held.items():
            if (place, key) in (("arrays", "positions"), ("arrays", "numbers")):
                continue
            array = np.asarray(value) if not isinstance(value, (str, dict)) and value is not None else np.asarray("")
            if array.dtype.kind in "fiub":
                record[f"{place}/{key}"] = array
    if config_type := str(atoms.info.get("config_type", "")):
        record["config_type"] = np.frombuffer(config_type.encode(), dtype=np.uint8)
    return {key: np.array(value, order="C", ndmin=1) for key, value in record.items()}


def atoms_of(record: dict[str, np.ndarray[Any, np.dtype[Any]]]) -> Atoms:
    """The frame of a record made by ``record_of``; a KeyError if the geometry is missing."""
    from ase import Atoms
    from ase.calculators.calculator import all_properties
    from ase.calculators.singlepoint import SinglePointCalculator

    geometry = {name: record[name] for name in ("positions", "cell", "pbc")}
    atoms = Atoms(numbers=record["atomic_numbers"], **geometry)
    results = {}
    for name, array in record.items():
        place, _, key = name.partition("/")
        value = array.item() if array.size == 1 and place != "arrays" else array
        if place == "results" and key in all_properties:
            results[key] = array if key in ("forces", "energies") else value
        elif place == "arrays":
            atoms.arrays[key] = array
        elif key:
            atoms.info[key] = value
    if results:
        atoms.calc = SinglePointCalculator(atoms, **results)
    if "config_type" in record:
        atoms.info["config_type"] = record["config_type"].tobytes().decode()
    return atoms
