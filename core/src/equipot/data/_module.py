"""Data sections whose sets are read from sources (files or data sets), given for each set or split at random."""

from __future__ import annotations

import abc
import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from equipot.data._base import DataModule, name_sets
from equipot.data._collection import FrameCollection
from equipot.data._formats import argument_problems
from equipot.data._frames_cache import cached_collection
from equipot.data._outputs._cp2k_trajectory import companions
from equipot.data._regular import collect_files
from equipot.data._species import mapping_problems
from equipot.data._splits import PARTS
from equipot.data.options import SourceOptions
from equipot.files import file_digest


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
        """Names of the sets that the options define."""
        parts, _, sizes = self.options.sources()
        given = [part for part, groups in parts.items() for _ in groups]
        return list(name_sets((part, None) for part in [*given, *sizes]))

    def read_keys(self) -> list[str]:
        """The key of the groups by which frames are split."""
        return [key] if (key := self.options.split_rule.key) else []

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
            yield from self.split(self.read(split), sizes, by=self.options.split_by).items()


_AFTER_READING = frozenset(
    (
        *("seed", "transforms", "stats_manager", "statistics_workers", "cache_dir", "split_dataset", "train_subset"),
        *(f"{part}_{what}" for part in PARTS for what in ("dataloader", "file_path")),
    )
)
"""Options on which the frames of a file do not depend; any other one is taken to matter."""


@dataclass(frozen=True, kw_only=True)
class ASEDataOptions(SourceOptions):
    """Options of ASEDataModule."""

    source: ClassVar[str] = "file_path"
    expected: ClassVar[str] = "a path or a list of paths"

    split_dataset: dict[str, Any] | None = None
    """``file_path`` (a path or a list); ``train``, ``val``, ``test`` as fractions or numbers of frames; and ``by``:
    ``random``, ``composition`` (each part has its share of each composition and config type), ``group:KEY`` (frames
    with the same value under a key of info stay together) or ``block:N`` (so do N consecutive frames of a file).
    Isolated atoms always go to train, and so do frames without which it would lack an element."""

    train_file_path: str | list[str] | None = None
    """File or files of the train set."""

    val_file_path: str | list[Any] | None = None
    """File of the validation set, or a list with a file (or a list of files) for each validation set."""

    test_file_path: str | list[Any] | None = None
    """The same for test sets."""

    ase_args: dict[str, Any] | None = None
    """``format``, ``index`` and further arguments of the format's reader, e.g. ``{format: extxyz, index: ":100"}``."""

    species: dict[str | int, str] | None = None
    """Element of each name of atoms in extended XYZ that is not a symbol, e.g. ``{OW: O, D: H}`` or ``{1: Si}``."""

    def problems(self) -> Iterator[str]:
        """Problems of ``ase_args`` and ``species``, and those of all data sections with sources."""
        yield from argument_problems(self.ase_args, "ase_args")
        yield from mapping_problems(self.species, "species")
        yield from super().problems()

    def is_source(self, given: Any) -> bool:
        """Whether an entry is a path."""
        return isinstance(given, str) and given != ""


class ASEDataModule(SourceDataModule, options=ASEDataOptions):
    """Labelled frames from files, e.g. extended XYZ or databases of ASE."""

    options: ASEDataOptions

    @property
    def split_source(self) -> Any:
        """The file or files that are split, as the user gave them."""
        return (self.options.split_dataset or {}).get("file_path")

    @property
    def species(self) -> Mapping[Any, str] | None:
        """As the option of this name."""
        return self.options.species

    def paths(self, sources: list[str]) -> list[str]:
        """The files themselves, and those that are read with them."""
        return [*sources, *(one for source in sources for one in companions(source))]

    def read(self, sources: list[str]) -> FrameCollection:
        """Frames of the files of one set, from the cache if they are large and were read before."""
        folder = None if self.options.cache_dir is None else Path(self.options.cache_dir)
        options = {
            one.name: repr(getattr(self.options, one.name))
            for one in dataclasses.fields(self.options)
            if one.name not in _AFTER_READING
        }
        options["contract"] = repr(self.label_contract)  # which depends on the labels that are used, too
        options["group_key"] = repr(self.options.split_rule.key)
        beside = [one for source in sources for one in companions(source)]
        options |= {"companions": repr([(one, file_digest(one)) for one in beside])} if beside else {}
        return cached_collection(folder, sources, options, lambda: self._read_files(sources))

    def _read_files(self, sources: list[str]) -> FrameCollection:
        options = self.options
        return collect_files(
            sources,
            self.label_contract,
            ase_args=options.ase_args,
            species=options.species,
            mask_nan=options.mask_nan_labels,
            unconverged=options.unconverged,
            group_key=options.split_rule.key or None,
        )
