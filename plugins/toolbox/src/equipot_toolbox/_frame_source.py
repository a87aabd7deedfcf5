"""The base classes of data sets for ``FrameDataModule``, and several data sets joined into one."""

from __future__ import annotations

import abc
import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from equipot.options import Options

if TYPE_CHECKING:
    from ase import Atoms


class FrameSource(abc.ABC):
    """A data set for ``FrameDataModule``: labelled frames by index."""

    in_memory: bool = True
    """Whether frames stay in memory; otherwise each is read again on every access."""

    @abc.abstractmethod
    def paths(self) -> list[str]:
        """All files that are read."""

    @abc.abstractmethod
    def __len__(self) -> int:
        """Number of frames."""

    @abc.abstractmethod
    def atoms(self, index: int) -> Atoms:
        """A frame, with labels in ``calc.results``, ``info`` or ``arrays``.

        Args:
            index: From 0.

        Raises:
            DataError: If the file does not contain a valid frame there.
        """

    @abc.abstractmethod
    def place(self, index: int) -> str:
        """File and index of a frame, for messages."""


class JoinedFrames(FrameSource):
    """Several data sets, one after the other."""

    def __init__(self, sources: Sequence[FrameSource]) -> None:
        self.sources = list(sources)
        self.in_memory = all(source.in_memory for source in sources)
        self._starts: list[int] | None = None

    def paths(self) -> list[str]:
        """All files, without repetition."""
        return list(dict.fromkeys(path for source in self.sources for path in source.paths()))

    def __len__(self) -> int:
        return sum(len(source) for source in self.sources)

    def _find(self, index: int) -> tuple[FrameSource, int]:
        if self._starts is None:
            self._starts = np.cumsum([0, *(len(source) for source in self.sources)]).tolist()
        number = int(np.searchsorted(self._starts, index, side="right")) - 1
        return self.sources[number], index - self._starts[number]

    def atoms(self, index: int) -> Atoms:
        """The frame of an index that counts through all data sets."""
        source, own = self._find(index)
        return source.atoms(own)

    def place(self, index: int) -> str:
        """File and index in it, for messages."""
        source, own = self._find(index)
        return source.place(own)


def joined(sources: Sequence[FrameSource]) -> FrameSource:
    """One data set made of one or several."""
    return sources[0] if len(sources) == 1 else JoinedFrames(sources)


@dataclass(frozen=True, kw_only=True)
class FileSource(Options, FrameSource):
    """Frames of one or more files; each process opens them on first use."""

    file_path: str | list[str] = field(kw_only=False)
    """A path or a list of paths."""

    def __getstate__(self) -> dict[str, Any]:
        """The options, without open files."""
        return {one.name: getattr(self, one.name) for one in dataclasses.fields(self)}

    def paths(self) -> list[str]:
        """The files."""
        return [self.file_path] if isinstance(self.file_path, str) else list(self.file_path)

    @abc.abstractmethod
    def opened(self) -> FrameSource:
        """The frames of the files."""

    def __len__(self) -> int:
        return len(self.opened())

    def atoms(self, index: int) -> Atoms:
        """A frame."""
        return self.opened().atoms(index)

    def place(self, index: int) -> str:
        """File and index in it, for messages."""
        return self.opened().place(index)
