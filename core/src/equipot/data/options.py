"""Options of data sections, for classes that extend them; checked before anything is read.

A data module of a plugin names a dataclass derived from one of these; see ``equipot.options.Configurable``.
"""

from __future__ import annotations

import abc
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, Literal, NamedTuple

from pydantic import Field

from equipot.data._frames import LabelContract, label_contract
from equipot.data._splits import PARTS, check_split
from equipot.data._statistic_entries import StatisticEntry
from equipot.data._stats_managers import StatsManager
from equipot.errors import ConfigError, problem, problems_of, unknown
from equipot.options import Options, from_mapping

__all__ = ["DataOptions", "LoaderOptions", "SourceOptions", "Sources", "StatisticEntry", "loader_options"]

_TORCH_LOADER = "torch.utils.data.DataLoader"


@dataclass(frozen=True, kw_only=True)
class LoaderOptions(Options):
    """Options of one loader; exactly one of batch_size, max_atoms and max_edges decides on batches."""

    batch_size: Annotated[int, Field(gt=0)] | None = None
    """Frames in a batch."""

    max_atoms: Annotated[int, Field(gt=0)] | None = None
    """Atoms in a batch, at most."""

    max_edges: Annotated[int, Field(gt=0)] | None = None
    """Edges in a batch, at most."""

    shuffle: bool | None = None
    """Random order; by default for the train set only."""

    num_workers: Annotated[int, Field(ge=0)] = 0
    """Processes that prepare batches; 0: the main one."""

    pin_memory: bool = False
    """Put batches in pinned memory, for copies to a GPU."""

    persistent_workers: bool = False
    """Keep the workers between epochs."""

    prefetch_factor: int | None = None
    """Batches that each worker prepares in advance."""

    def problems(self) -> Iterator[str]:
        """Options that exclude each other, and options of workers that there are not."""
        given = [name for name in ("batch_size", "max_atoms", "max_edges") if getattr(self, name) is not None]
        if len(given) > 1:
            yield problem(given[1], f"cannot be given together with {given[0]}", hint="choose one")
        for name in ("persistent_workers", "prefetch_factor"):
            if getattr(self, name) and not self.num_workers:
                yield problem(name, "needs num_workers of at least 1", got=getattr(self, name))

    def torch_options(self) -> dict[str, Any]:
        """Arguments that go to torch's DataLoader unchanged."""
        names = ("num_workers", "pin_memory", "persistent_workers", "prefetch_factor")
        return {name: getattr(self, name) for name in names}


def loader_options(given: Mapping[str, Any] | None, where: str) -> LoaderOptions:
    """The options of one loader; torch's class may be named, as configs of other programs do.

    Raises:
        ConfigError: With every problem found.
    """
    values = dict(given or {})
    if values.get("_target_") == _TORCH_LOADER:
        del values["_target_"]
    return from_mapping(LoaderOptions, values, where)


@dataclass(frozen=True, kw_only=True)
class DataOptions(Options):
    """Options of every data section."""

    seed: int = field(kw_only=False)
    """Decides the split and the order of batches."""

    units: Literal["metal", "real"] = "metal"
    """``metal`` (eV, Å) or ``real`` (kcal/mol, Å): what the data are in."""

    labels: dict[str, Any] | None = None
    """Label to key in calc.results, info or arrays, e.g. ``{total_energy: REF_energy}``; by default as in ASE's
    SinglePointCalculator."""

    transforms: list[Any] | None = None
    """Type mapper, neighbour list and others; by default they follow from the model."""

    train_dataloader: dict[str, Any] | None = None
    """``batch_size``, ``max_atoms`` or ``max_edges``; ``shuffle``, ``num_workers``, ``pin_memory``,
    ``persistent_workers``, ``prefetch_factor``."""

    val_dataloader: dict[str, Any] | None = None
    """The same for validation; batches as for training by default."""

    test_dataloader: dict[str, Any] | None = None
    """The same for test."""

    stats_manager: StatsManager | None = None
    """Statistics of the train set for ``${training_data_stats:NAME}``."""

    mask_nan_labels: bool = False
    """Treat NaN in a label as missing instead of refusing it."""

    cache_dir: str | None = ".equipot_cache"
    """Folder for statistics; None keeps none."""

    def problems(self) -> Iterator[str]:
        """Problems of labels and loaders."""
        yield from super().problems()
        yield from problems_of(self.contract, *(lambda part=part: self.loader(part) for part in PARTS))

    def contract(self) -> LabelContract:
        """Labels and where they are read from."""
        return label_contract(self.labels, "labels")

    def loader(self, part: str) -> LoaderOptions:
        """Options of the loader of ``train``, ``val`` or ``test``."""
        name = f"{part}_dataloader"
        return loader_options(getattr(self, name), name)


class Sources(NamedTuple):
    """All sources of a data section, grouped by set."""

    parts: dict[str, list[list[Any]]]
    """Those given for ``train``, ``val`` and ``test``: for each set the sources that are joined."""

    split: list[Any]
    """Those that are joined and split."""

    sizes: dict[str, float]
    """Parts of the split to fractions or numbers of frames."""


@dataclass(frozen=True, kw_only=True)
class SourceOptions(DataOptions):
    """Options of data sections with sources; a derived class adds ``train_NAME``, ``val_NAME`` and ``test_NAME``."""

    split_dataset: dict[str, Any] | None = None
    """What is split, and ``train``, ``val``, ``test`` as fractions or numbers of frames."""

    source: ClassVar[str]
    """``NAME``, which is also what the split source is called in ``split_dataset``."""

    expected: ClassVar[str]
    """How messages name what an option takes, e.g. ``a path or a list of paths``."""

    example: ClassVar[str] = ""
    """Shown with messages."""

    @abc.abstractmethod
    def is_source(self, given: Any) -> bool:
        """Whether an entry of an option is a source."""

    def problems(self) -> Iterator[str]:
        """Problems of sources and split as well."""
        yield from problems_of(self.sources)
        yield from super().problems()

    def sources(self) -> Sources:
        """The sources, checked.

        Raises:
            ConfigError: With all problems.
        """
        problems: list[str] = []
        parts = {part: self._groups(part, problems) for part in PARTS}
        split: list[Any] = []
        sizes: dict[str, float] = {}
        if self.split_dataset is not None:
            sizes = {part: self.split_dataset[part] for part in PARTS if part in self.split_dataset}
            problems.extend(self._split_problems(self.split_dataset, sizes))
            split = self._entries(self.split_dataset.get(self.source), f"split_dataset.{self.source}", problems)
        if PARTS[0] in sizes and parts[PARTS[0]]:
            what = f"there is a {PARTS[0]}_{self.source} already"
            problems.append(problem(f"split_dataset.{PARTS[0]}", what, hint="give one of them"))
        if not problems and not split and not any(parts.values()):
            names = ", ".join(f"{part}_{self.source}" for part in PARTS)
            hint = f"give split_dataset or {names}"
            problems.append(problem("split_dataset", "nothing says where the data are", hint=hint))
        if problems:
            raise ConfigError(problems)
        return Sources(parts, split, sizes)

    def _groups(self, part: str, problems: list[str]) -> list[list[Any]]:
        """Sources by set: for the train set all are one set, else each entry is a set of its own."""
        where = f"{part}_{self.source}"
        given = getattr(self, where)
        entries = self._entries(given, where, problems)
        if part == PARTS[0]:
            return [entries] if entries else []
        listed = given if isinstance(given, list) else [given]
        return [self._entries(entry, where, []) for entry in listed if entry is not None]

    def _entries(self, given: Any, where: str, problems: list[str]) -> list[Any]:
        """All sources of an option, in one list; problems are appended to the other."""
        if given is None:
            return []
        if given == []:
            problems.append(problem(where, "is an empty list", hint="leave it out"))
        if isinstance(given, list):
            return [one for entry in given for one in self._entries(entry, where, problems)]
        if not self.is_source(given):
            problems.append(problem(where, f"must be {self.expected}", got=given, hint=self.example))
        return [given]

    def _split_problems(self, given: Mapping[str, Any], sizes: Mapping[str, float]) -> Iterator[str]:
        where, known = "split_dataset", (self.source, *PARTS)
        yield from (unknown(f"{where}.{key}", key, known) for key in given if key not in known)
        if self.source not in given:
            yield problem(f"{where}.{self.source}", "required option is missing")
        if not sizes:
            yield problem(where, "names no part", hint="give train, val, test as fractions or numbers of frames")
        yield from check_split(sizes, where)
