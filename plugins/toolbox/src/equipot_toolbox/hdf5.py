"""Frames in HDF5 files: groups of frames of equal composition, read one frame at a time."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np

from equipot.errors import DataError, problem
from equipot_toolbox.arrays import HDF5_KEYS, FrameArrays, names_of
from equipot_toolbox.datasets import FrameSource

if TYPE_CHECKING:
    from ase import Atoms


class HDF5Dataset(FrameSource):
    """Frames in one or more HDF5 files, read when they are needed.

    Each group (or the file itself) holds frames of equal composition: ``positions`` [n_frames,
    n_atoms, 3], ``atomic_numbers`` [n_atoms] or [n_frames, n_atoms], ``cell`` and ``pbc`` of all or of
    each frame where there are any, and labels whose first axis counts frames (``energy``, ``forces``,
    ``stress``, …). Links to other files, and data stored in other files, are refused.

    Args:
        file_path: A path or a list of paths.
        key_mapping: Name of a data set to what it is: ``positions``, ``atomic_numbers``, ``cell``,
            ``pbc`` or the key of a label; beside ``pos`` and ``coordinates``, which are positions,
            ``species``, atomic numbers, and ``energies``, the energy. Other names are kept.
    """

    in_memory = False

    def __init__(self, file_path: str | list[str], key_mapping: dict[str, str] | None = None) -> None:
        self.file_path = [file_path] if isinstance(file_path, str) else list(file_path)
        self.key_mapping = names_of(key_mapping, HDF5_KEYS)
        self._groups: list[FrameArrays] = []
        self._starts = np.zeros(1, dtype=np.int64)
        self._process = 0

    def __getstate__(self) -> dict[str, Any]:
        """Without open files, which other processes open by themselves."""
        return {**self.__dict__, "_groups": [], "_process": 0}

    def paths(self) -> list[str]:
        """The files."""
        return list(self.file_path)

    def _open(self) -> list[FrameArrays]:
        """The groups, opened once in each process."""
        if self._process != os.getpid():
            self._groups = [group for path in self.file_path for group in _groups(path, self.key_mapping)]
            self._starts = np.cumsum([0, *(len(group) for group in self._groups)])
            self._process = os.getpid()
        return self._groups

    def __len__(self) -> int:
        self._open()
        return int(self._starts[-1])

    def _find(self, index: int) -> tuple[FrameArrays, int]:
        groups = self._open()
        number = int(np.searchsorted(self._starts, index, side="right")) - 1
        return groups[number], index - int(self._starts[number])

    def atoms(self, index: int) -> Atoms:
        """A frame."""
        group, own = self._find(index)
        return group.atoms(own)

    def place(self, index: int) -> str:
        """File, group and number there."""
        group, own = self._find(index)
        return f"{group.where}, frame {own}"


def _groups(path: str, key_mapping: dict[str, str]) -> Iterator[FrameArrays]:
    if not Path(path).is_file():
        raise DataError(problem(path, "no such file", hint=f"relative paths start from {Path.cwd()}"))
    try:
        file = h5py.File(path, "r")
    except OSError as error:
        raise DataError(problem(path, f"cannot be read: {error}", hint="an HDF5 file")) from None
    found = list(_walk(file, path))
    if not found:
        raise DataError(problem(path, "has no data sets"))
    for where, arrays in found:
        yield FrameArrays(arrays, key_mapping, where)


def _walk(group: Any, where: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every group that holds data sets of numbers, in the order of names."""
    arrays, below = {}, []
    for name in sorted(group):
        if not isinstance(group.get(name, getlink=True), h5py.HardLink):
            raise DataError(problem(f"{where}:{name}", "is a link", hint="only data in the file itself are read"))
        item = group[name]
        if isinstance(item, h5py.Group):
            below.append((name, item))
        elif item.external or item.is_virtual:
            raise DataError(
                problem(f"{where}:{name}", "is stored in another file", hint="only data in the file itself are read")
            )
        elif item.dtype.kind in "fiub":
            arrays[name] = item
    if arrays:
        yield where, arrays
    for name, item in below:
        yield from _walk(item, f"{where}:{name}")
