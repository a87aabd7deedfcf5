"""Frames of equal composition from arrays whose first axis is the frame."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from equipot.data._npz import read_npz
from equipot.data._packed_npz import packed_archive
from equipot.data._streams import reading
from equipot.errors import DataError, problem
from equipot.fields import LABELS

if TYPE_CHECKING:
    from ase import Atoms

Array = np.ndarray[Any, np.dtype[Any]]

_GEOMETRY = ("positions", "atomic_numbers", "cell", "pbc")

NPZ_KEYS = {
    "R": "positions",
    "coords": "positions",
    "z": "atomic_numbers",
    "nuclear_charges": "atomic_numbers",
    "E": "energy",
    "energies": "energy",
    "F": "forces",
}
"""Names of arrays in the archives of sGDML, MD17 and rMD17."""

_PER_FRAME = ("energy", "stress", "virial", "dipole")
"""Names of values that are per frame even if their first axis happens to have as many entries as there are atoms."""


def read_npz_frames(path: str) -> Iterator[Atoms]:
    """The frames of a packed archive, or of one with the names of ``NPZ_KEYS``; other names are kept.

    Args:
        path: The archive.

    Raises:
        DataError: As ``read_npz`` and ``ArrayFrames``.
    """
    if (packed := packed_archive(path)) is not None:
        return packed.atoms()
    frames = ArrayFrames(read_npz(path), NPZ_KEYS, path, path)
    return (frames.atoms(index) for index in range(len(frames)))


def _is_per_frame(name: str) -> bool:
    """Whether a name is that of a value per frame, here or in ASE."""
    known = (one.per for one in LABELS.values() if name in (one.key, one.ase_property))
    return name in _PER_FRAME or next(known, "atom") == "frame"


class ArrayFrames:
    """Frames of equal composition, made when they are asked for.

    Args:
        arrays: Arrays by name; data sets of HDF5 will do, which are read when indexed.
        key_mapping: What each array is, by its name; other names are kept.
        path: The file.
        where: The file and the place in it, for messages.

    Raises:
        DataError: If positions or atomic numbers are missing or have an unexpected shape, or two
            arrays have the same meaning.
    """

    def __init__(self, arrays: Mapping[str, Any], key_mapping: Mapping[str, str], path: str, where: str) -> None:
        self.path, self.where = path, where
        self._arrays: dict[str, Any] = {}
        for name, array in arrays.items():
            what = key_mapping.get(name, name)
            if what in self._arrays:
                raise DataError(problem(where, f"more than one array is the {what}", got=list(arrays)))
            self._arrays[what] = array
        for what in _GEOMETRY[:2]:
            if what not in self._arrays:
                hint = f"give key_mapping to a data set of the toolbox; arrays: {', '.join(arrays) or 'none'}"
                raise DataError(problem(where, f"no array is the {what}", hint=hint))
        shape = self._arrays["positions"].shape
        if len(shape) != 3 or shape[2] != 3:
            raise DataError(problem(where, "positions must have the shape [n_frames, n_atoms, 3]", got=shape))
        self.n_frames, self.n_atoms = int(shape[0]), int(shape[1])
        if not self.n_frames * self.n_atoms:
            raise DataError(problem(where, "has no frames or no atoms", got=shape))
        numbers = self._arrays["atomic_numbers"].shape
        if numbers not in ((self.n_atoms,), (self.n_frames, self.n_atoms)):
            what = "atomic_numbers must have the shape [n_atoms] or [n_frames, n_atoms]"
            raise DataError(problem(where, what, got=numbers))

    def __len__(self) -> int:
        """Number of frames."""
        return self.n_frames

    def place(self, index: int) -> str:
        """File, place in it and index there, for messages.

        Args:
            index: From 0.
        """
        return f"{self.where}, frame {index}"

    def atoms(self, index: int) -> Atoms:
        """A frame, with everything except the geometry in ``info`` or ``arrays``.

        Args:
            index: From 0.

        Raises:
            DataError: If an array cannot be read there.
        """
        with reading(self.place(index)):
            return self._made(index)

    def _made(self, index: int) -> Atoms:
        from ase import Atoms

        numbers = self._arrays["atomic_numbers"]
        atoms = Atoms(
            numbers=np.asarray(numbers[index] if len(numbers.shape) == 2 else numbers[...], dtype=np.int64),
            positions=np.asarray(self._arrays["positions"][index], dtype=np.float64),
            cell=self._of_frame("cell", index, (3, 3)),
            pbc=self._of_frame("pbc", index, (3,)),
        )
        for name, array in self._arrays.items():
            if name in _GEOMETRY or not array.shape or array.shape[0] != self.n_frames:
                continue
            value = np.asarray(array[index])
            per_atom = value.ndim and value.shape[0] == self.n_atoms and not _is_per_frame(name)
            if per_atom:
                atoms.arrays[name] = value
            else:
                atoms.info[name] = value.item() if value.size == 1 else value
        return atoms

    def _of_frame(self, name: str, index: int, shape: tuple[int, ...]) -> Array | None:
        """Cell or pbc of a frame; the array may hold one for all frames."""
        if name not in self._arrays:
            return None
        array = self._arrays[name]
        value = np.asarray(array[index] if len(array.shape) == len(shape) + 1 else array[...])
        if value.shape != shape:
            raise DataError(problem(self.place(index), f"{name} must have the shape {shape}", got=value.shape))
        return value
