"""Data sets from files of the formats of ``ASEDataModule`` and from NPZ archives; nothing is unpickled."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from equipot.data import argument_problems, read_placed
from equipot_toolbox._arrays import NPZ_KEYS, FrameArrays, names_of
from equipot_toolbox._frame_source import FileSource, FrameSource
from equipot_toolbox._npz import read_npz

if TYPE_CHECKING:
    from ase import Atoms


@dataclass(frozen=True, kw_only=True)
class ASEDataset(FileSource):
    """Frames from files of the formats of ``ASEDataModule``, kept in memory."""

    ase_args: dict[str, Any] | None = field(default=None, kw_only=False)
    """``format``, ``index`` and further arguments of the format's reader, e.g. ``{format: extxyz, index: ":100"}``."""

    species: dict[str | int, str] | None = None
    """Element of each name of atoms in extended XYZ that is not a symbol, e.g. ``{OW: O, HW: H, D: H}``."""

    def problems(self) -> Iterator[str]:
        """Problems of ``ase_args``."""
        yield from argument_problems(self.ase_args, "ase_args")

    @functools.cached_property
    def _frames(self) -> _ReadFrames:
        return _ReadFrames(self.paths(), list(read_placed(self.paths(), self.ase_args, self.species)))

    def opened(self) -> FrameSource:
        """The frames as ASE reads them."""
        return self._frames


class _ReadFrames(FrameSource):
    """Frames in memory, each with its place for messages."""

    def __init__(self, files: list[str], frames: list[tuple[str, Atoms]]) -> None:
        self._files, self._frames = files, frames

    def paths(self) -> list[str]:
        return self._files

    def __len__(self) -> int:
        return len(self._frames)

    def atoms(self, index: int) -> Atoms:
        return self._frames[index][1]

    def place(self, index: int) -> str:
        return self._frames[index][0]


@dataclass(frozen=True, kw_only=True)
class NPZDataset(FileSource):
    """Frames of equal composition in an NPZ archive, as those of sGDML, MD17 and rMD17.

    Arrays: ``R`` or ``coords`` [n_frames, n_atoms, 3]; ``z`` or ``nuclear_charges`` [n_atoms]; energies
    ``E`` or ``energies`` [n_frames]; forces ``F`` or ``forces`` [n_frames, n_atoms, 3]; ``cell`` and
    ``pbc`` for periodic systems. Archives with Python objects are refused. Values are not converted: most
    of these sets are in kcal/mol, so set ``units: real`` in the data module.
    """

    file_path: str = field(kw_only=False)
    """The archive."""

    key_mapping: dict[str, str] | None = field(default=None, kw_only=False)
    """What each array is, by its name: ``positions``, ``atomic_numbers``, ``cell``, ``pbc`` or the key of a label; in
    addition to the names above. Other names are kept."""

    @functools.cached_property
    def _arrays(self) -> FrameArrays:
        path = self.file_path
        return FrameArrays(read_npz(path), names_of(self.key_mapping, NPZ_KEYS), path, path)

    def opened(self) -> FrameSource:
        """The arrays of the archive, read completely on first use.

        Raises:
            DataError: If the archive cannot be read or contains Python objects.
        """
        return self._arrays
