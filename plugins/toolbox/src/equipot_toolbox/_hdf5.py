"""Data sets in HDF5 files: groups of frames of equal composition, read one frame at a time."""

from __future__ import annotations

import functools
import math
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h5py

from equipot.data import check_file, largest, reading
from equipot.errors import DataError, problem
from equipot_toolbox._arrays import HDF5_KEYS, FrameArrays, names_of
from equipot_toolbox._frame_source import FileSource, FrameSource, joined

_HINT = "all data must be in the file itself"
_REPACK = "write the file again, without compression"
_OWN = (h5py.h5z.FILTER_DEFLATE, h5py.h5z.FILTER_SHUFFLE, h5py.h5z.FILTER_FLETCHER32, h5py.h5z.FILTER_LZF)
"""Filters that are part of h5py; for others HDF5 would load a library from a folder of the system."""

_RATIO = 1100
"""What gzip can compress at best: species that are the same in all frames come close to it."""


@dataclass(frozen=True, kw_only=True)
class HDF5Dataset(FileSource):
    """Frames in one or more HDF5 files, read on each access.

    Each group (or the file itself) holds frames of equal composition: ``positions`` [n_frames,
    n_atoms, 3], ``atomic_numbers`` [n_atoms] or [n_frames, n_atoms], for periodic systems ``cell`` and
    ``pbc`` (one for all frames, or one per frame), and labels whose first axis is n_frames (``energy``,
    ``forces``, ``stress``, …). Links to other files, and data stored in other files, are refused.
    """

    in_memory = False

    key_mapping: dict[str, str] | None = field(default=None, kw_only=False)
    """What each HDF5 data set is, by its name: ``positions``, ``atomic_numbers``, ``cell``, ``pbc`` or the key of a
    label; in addition to ``pos`` and ``coordinates`` (positions), ``species`` (atomic numbers) and ``energies`` (the
    energy). Other names are kept."""

    @functools.cached_property
    def _by_process(self) -> dict[int, FrameSource]:
        """The groups, by process: a forked process cannot read from a file that its parent opened."""
        return {}

    def opened(self) -> FrameSource:
        """The groups, opened once in each process."""
        process = os.getpid()
        if process not in self._by_process:
            names = names_of(self.key_mapping, HDF5_KEYS)
            self._by_process[process] = joined([group for path in self.paths() for group in _groups(path, names)])
        return self._by_process[process]


def _groups(path: str, key_mapping: dict[str, str]) -> list[FrameArrays]:
    check_file(path)
    with reading(path, "an HDF5 file"):
        found = list(_Walk(path).groups(h5py.File(path, "r"), path))
        if not found:
            raise DataError(problem(path, "has no data sets"))
        return [FrameArrays(arrays, key_mapping, path, where) for where, arrays in found]


class _Walk:
    """Goes through a file and refuses what is not in it, or not as large as it states."""

    def __init__(self, path: str) -> None:
        self._size = Path(path).stat().st_size
        self._seen: set[int] = set()

    def groups(self, group: Any, where: str) -> Iterator[tuple[str, dict[str, Any]]]:
        """All groups with numeric data sets, in the order of their names."""
        arrays, below = {}, []
        for name in sorted(group):
            place = f"{where}:{name}"
            if not isinstance(group.get(name, getlink=True), h5py.HardLink):
                raise DataError(problem(place, "is a link", hint=_HINT))
            item = group[name]
            if (address := h5py.h5o.get_info(item.id).addr) in self._seen:
                raise DataError(problem(place, "is in the file under another name too", hint="keep one of them"))
            self._seen.add(address)
            if isinstance(item, h5py.Group):
                below.append((place, item))
            elif isinstance(item, h5py.Dataset) and item.dtype.kind in "fiub":
                self._check(item, place)
                arrays[name] = item
        if arrays:
            yield where, arrays
        for place, item in below:
            yield from self.groups(item, place)

    def _check(self, item: Any, where: str) -> None:
        """Refuse a data set that is elsewhere, or whose parts need more memory than the file can justify."""
        if item.external or item.is_virtual:
            raise DataError(problem(where, "is stored in another file", hint=_HINT))
        plan = item.id.get_create_plist()
        foreign = {plan.get_filter(number)[0] for number in range(plan.get_nfilters())} - set(_OWN)
        if foreign:
            what = "is compressed by a filter that is not part of h5py"
            raise DataError(problem(where, what, got=min(foreign), hint=_REPACK))
        stored, width = item.id.get_storage_size(), item.dtype.itemsize
        expanded = item.size * width
        smallest = -(-expanded // _RATIO) if item.chunks else expanded
        at_once = max(math.prod(item.shape[1:]), math.prod(item.chunks or ())) * width
        if not smallest <= stored <= self._size or at_once > largest(self._size):
            what = f"states the shape {item.shape} but stores {stored} bytes"
            raise DataError(problem(where, what, hint=_REPACK))
