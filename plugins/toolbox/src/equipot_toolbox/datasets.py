"""Sets of labelled frames by index, from files that ASE reads and from NPZ archives.

Constructors read nothing; files are opened on first use, in each process by itself. No file is ever
unpickled.
"""

from __future__ import annotations

import abc
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from equipot.data import read_atoms
from equipot.errors import DataError, problem
from equipot_toolbox.arrays import NPZ_KEYS, FrameArrays, names_of

if TYPE_CHECKING:
    from ase import Atoms


class FrameSource(abc.ABC):
    """Frames by index; what ``FrameDataModule`` takes as a data set."""

    in_memory: bool = True
    """Whether frames are kept in memory once they are read; else each is made anew when it is needed."""

    @abc.abstractmethod
    def paths(self) -> list[str]:
        """Every file that is read."""

    @abc.abstractmethod
    def __len__(self) -> int:
        """Number of frames."""

    @abc.abstractmethod
    def atoms(self, index: int) -> Atoms:
        """A frame, with labels in ``calc.results``, ``info`` or ``arrays``.

        Args:
            index: From 0.

        Raises:
            DataError: If the file holds something else.
        """

    @abc.abstractmethod
    def place(self, index: int) -> str:
        """File and number of a frame, for messages."""


class JoinedFrames(FrameSource):
    """Several sets one after the other.

    Args:
        sources: The sets.
    """

    def __init__(self, sources: Sequence[FrameSource]) -> None:
        self.sources = list(sources)
        self.in_memory = all(source.in_memory for source in sources)
        self._starts: list[int] | None = None

    def paths(self) -> list[str]:
        """Every file, once."""
        return list(dict.fromkeys(path for source in self.sources for path in source.paths()))

    def __len__(self) -> int:
        return sum(len(source) for source in self.sources)

    def _find(self, index: int) -> tuple[FrameSource, int]:
        if self._starts is None:
            self._starts = np.cumsum([0, *(len(source) for source in self.sources)]).tolist()
        number = int(np.searchsorted(self._starts, index, side="right")) - 1
        return self.sources[number], index - self._starts[number]

    def atoms(self, index: int) -> Atoms:
        """A frame of the set that has it."""
        source, own = self._find(index)
        return source.atoms(own)

    def place(self, index: int) -> str:
        """File and number there."""
        source, own = self._find(index)
        return source.place(own)


class ASEDataset(FrameSource):
    """Frames of files that ASE reads, in memory.

    Args:
        file_path: A path or a list of paths.
        ase_args: Arguments of ``ase.io.iread``, e.g. ``{format: extxyz}``.
    """

    def __init__(self, file_path: str | list[str], ase_args: dict[str, Any] | None = None) -> None:
        self.file_path = [file_path] if isinstance(file_path, str) else list(file_path)
        self.ase_args = dict(ase_args or {})
        self._frames: list[tuple[str, Atoms]] | None = None

    def paths(self) -> list[str]:
        """The files."""
        return list(self.file_path)

    @property
    def frames(self) -> list[tuple[str, Atoms]]:
        """Place and frame, read on first use."""
        if self._frames is None:
            self._frames = [
                (f"{file}, frame {index}", atoms)
                for file in self.file_path
                for index, atoms in enumerate(read_atoms(file, self.ase_args))
            ]
        return self._frames

    def __len__(self) -> int:
        return len(self.frames)

    def atoms(self, index: int) -> Atoms:
        """A frame as ASE reads it."""
        return self.frames[index][1]

    def place(self, index: int) -> str:
        """File and number there."""
        return self.frames[index][0]


class NPZDataset(FrameSource):
    """Frames of equal composition in an NPZ archive, as those of sGDML, MD17 and rMD17.

    Arrays: ``R`` or ``coords`` [n_frames, n_atoms, 3]; ``z`` or ``nuclear_charges`` [n_atoms]; energies
    ``E`` or ``energies`` [n_frames]; forces ``F`` or ``forces`` [n_frames, n_atoms, 3]; ``cell`` and
    ``pbc`` where there are any. Archives with Python objects are refused. Units are the file's: most of
    these sets are in kcal/mol, for which the data module has ``units: real``.

    Args:
        file_path: The archive.
        key_mapping: Name of an array to what it is: ``positions``, ``atomic_numbers``, ``cell``, ``pbc``
            or the key of a label; added to the names above. Other names are kept.
    """

    def __init__(self, file_path: str, key_mapping: dict[str, str] | None = None) -> None:
        self.file_path = file_path
        self.key_mapping = names_of(key_mapping, NPZ_KEYS)
        self._arrays: FrameArrays | None = None

    def paths(self) -> list[str]:
        """The archive."""
        return [self.file_path]

    @property
    def arrays(self) -> FrameArrays:
        """The archive's arrays, read whole on first use.

        Raises:
            DataError: If it cannot be read or holds Python objects.
        """
        if self._arrays is None:
            self._arrays = FrameArrays(_read_npz(self.file_path), self.key_mapping, self.file_path)
        return self._arrays

    def __len__(self) -> int:
        return len(self.arrays)

    def atoms(self, index: int) -> Atoms:
        """A frame."""
        return self.arrays.atoms(index)

    def place(self, index: int) -> str:
        """File and number there."""
        return f"{self.file_path}, frame {index}"


def _read_npz(path: str) -> Mapping[str, np.ndarray[Any, np.dtype[Any]]]:
    """Arrays of numbers of an archive; texts, as of authors and licences, are left out."""
    if not Path(path).is_file():
        raise DataError(problem(path, "no such file", hint=f"relative paths start from {Path.cwd()}"))
    try:
        with np.load(path, allow_pickle=False) as archive:
            found = {name: archive[name] for name in archive.files}
    except (OSError, ValueError, KeyError, EOFError) as error:
        raise DataError(problem(path, f"cannot be read: {error}", hint="an NPZ archive of plain arrays")) from None
    return {name: array for name, array in found.items() if array.dtype.kind in "fiub"}


def joined(sources: Iterable[FrameSource]) -> FrameSource:
    """One set of one or several."""
    found = list(sources)
    return found[0] if len(found) == 1 else JoinedFrames(found)
