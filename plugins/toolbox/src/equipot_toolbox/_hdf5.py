"""Data sets in HDF5 files: groups of frames of equal composition, read one frame at a time."""

from __future__ import annotations

import functools
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import h5py

from equipot.data import check_file
from equipot.errors import DataError, problem
from equipot_toolbox._arrays import HDF5_KEYS, FrameArrays, names_of
from equipot_toolbox._frame_source import FileSource, FrameSource, joined

_HINT = "all data must be in the file itself"


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


def _groups(path: str, key_mapping: dict[str, str]) -> Iterator[FrameArrays]:
    check_file(path)
    try:
        file = h5py.File(path, "r")
    except OSError as error:
        raise DataError(problem(path, f"cannot be read: {error}", hint="an HDF5 file")) from None
    found = list(_walk(file, path))
    if not found:
        raise DataError(problem(path, "has no data sets"))
    for where, arrays in found:
        yield FrameArrays(arrays, key_mapping, path, where)


def _walk(group: Any, where: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """All groups with numeric data sets, in the order of their names."""
    arrays, below = {}, []
    for name in sorted(group):
        if not isinstance(group.get(name, getlink=True), h5py.HardLink):
            raise DataError(problem(f"{where}:{name}", "is a link", hint=_HINT))
        item = group[name]
        if isinstance(item, h5py.Group):
            below.append((name, item))
        elif item.external or item.is_virtual:
            raise DataError(problem(f"{where}:{name}", "is stored in another file", hint=_HINT))
        elif item.dtype.kind in "fiub":
            arrays[name] = item
    if arrays:
        yield where, arrays
    for name, item in below:
        yield from _walk(item, f"{where}:{name}")
