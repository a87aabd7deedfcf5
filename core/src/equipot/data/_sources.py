"""Data sections whose sets are read from sources (files or data sets), given for each set or split at random."""

from __future__ import annotations

import abc
from collections.abc import Iterator
from typing import Any

from equipot.data._base import DataModule, name_sets
from equipot.data._collection import FrameCollection
from equipot.data.options import SourceOptions


class SourceDataModule(DataModule, options=SourceOptions):
    """Labelled frames from sources; derived classes define how the sources of one set are read."""

    options: SourceOptions

    @abc.abstractmethod
    def read(self, sources: list[Any]) -> FrameCollection:
        """All frames of the sources of one set."""

    @abc.abstractmethod
    def paths(self, sources: list[Any]) -> list[str]:
        """Files and folders that these sources read."""

    def source_files(self) -> list[str]:
        """All files, without repetition."""
        parts, split, _ = self.options.sources()
        given = [one for groups in parts.values() for group in groups for one in group]
        return list(dict.fromkeys(self.paths([*given, *split])))

    def expected_sets(self) -> list[str]:
        """Names of the sets that the options ask for."""
        parts, _, sizes = self.options.sources()
        given = [part for part, groups in parts.items() for _ in groups]
        return list(name_sets((part, None) for part in [*given, *sizes]))

    @property
    def split_source(self) -> Any:
        """The files that are split."""
        return self.paths(self.options.sources().split)

    def read_sets(self) -> dict[str, FrameCollection]:
        """Frames of each set."""
        return name_sets(self._read_parts())

    def _read_parts(self) -> Iterator[tuple[str, FrameCollection]]:
        parts, split, sizes = self.options.sources()
        for part, groups in parts.items():
            for group in groups:
                yield part, self.read(group)
        if split:
            yield from self.split(self.read(split), sizes).items()
