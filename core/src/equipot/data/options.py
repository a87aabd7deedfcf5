"""Options of data sections; they are checked before anything is read.

The data module of a plugin derives its options from one of these dataclasses; see ``equipot.options.Configurable``.
"""

from __future__ import annotations

import abc
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, Literal, NamedTuple

from pydantic import Field

from equipot.data._collection import Unconverged
from equipot.data._label_contract import LabelContract, label_contract
from equipot.data._splits import PARTS, RANDOM, SplitRule, check_split, split_rule
from equipot.data._statistic_entries import StatisticEntry
from equipot.data._stats_managers import StatsManager
from equipot.data.checks._catalogue import code_problems
from equipot.errors import ConfigError, nearest, problem, problems_of, unknown
from equipot.options import Options, from_mapping

__all__ = [
    "DataOptions",
    "LoaderOptions",
    "SourceOptions",
    "Sources",
    "StatisticEntry",
    "SubsetOptions",
    "loader_options",
]


@dataclass(frozen=True, kw_only=True)
class LoaderOptions(Options):
    """Options of one loader; only one of batch_size, max_atoms and max_edges may be given."""

    batch_size: Annotated[int, Field(gt=0)] | None = None
    """Frames in a batch."""

    max_atoms: Annotated[int, Field(gt=0)] | None = None
    """Largest number of atoms in a batch."""

    max_edges: Annotated[int, Field(gt=0)] | None = None
    """Largest number of edges in a batch."""

    shuffle: bool | None = None
    """Whether the order is random; by default only for the train set."""

    num_workers: Annotated[int, Field(ge=0, le=1024)] = 0
    """Number of processes that prepare batches; 0: the main process does."""

    pin_memory: bool = False
    """Put batches in pinned memory, which speeds up copies to a GPU."""

    persistent_workers: bool = False
    """Keep the workers between epochs."""

    prefetch_factor: Annotated[int, Field(ge=1, le=1024)] | None = None
    """Number of batches that each worker prepares in advance."""

    def problems(self) -> Iterator[str]:
        """Options that exclude each other, and options of workers without workers."""
        given = [name for name in ("batch_size", "max_atoms", "max_edges") if getattr(self, name) is not None]
        if len(given) > 1:
            yield problem(given[1], f"cannot be given together with {given[0]}", hint="choose one")
        for name in ("persistent_workers", "prefetch_factor"):
            if getattr(self, name) and not self.num_workers:
                yield problem(name, "needs num_workers of at least 1", got=getattr(self, name))

    def torch_options(self) -> dict[str, Any]:
        """Arguments of ``torch.utils.data.DataLoader``."""
        names = ("num_workers", "pin_memory", "persistent_workers", "prefetch_factor")
        return {name: getattr(self, name) for name in names}


def loader_options(given: Mapping[str, Any] | None, where: str) -> LoaderOptions:
    """The options of one loader."""
    return from_mapping(LoaderOptions, given or {}, where)


@dataclass(frozen=True, kw_only=True)
class SubsetOptions(Options):
    """Which part of the train set is learnt from."""

    frames: Annotated[int, Field(gt=0)]
    """Number of frames, isolated atoms not counted."""

    seed: Annotated[int, Field(ge=0)] = 1
    """Of the order; with the same seed a smaller subset is a part of a larger one."""


@dataclass(frozen=True, kw_only=True)
class DataOptions(Options):
    """Options of all data sections."""

    seed: int = field(kw_only=False)
    """Seed of the split and of the order of batches."""

    units: Literal["metal", "real"] = "metal"
    """Unit system of the data: ``metal`` (eV, Å) or ``real`` (kcal/mol, Å)."""

    labels: dict[str, Any] | None = None
    """Key of each label in calc.results, info or arrays, e.g. ``{total_energy: REF_energy}``, or a mapping with
    ``key``, ``convention`` and ``unit``; by default the keys of ASE's SinglePointCalculator."""

    weights: dict[str, str] | None = None
    """Key of the weights of labels, and of whole frames under ``frame``, e.g. ``{frame: config_weight, forces:
    config_forces_weight}``; frames without the key have weight 1."""

    transforms: list[Any] | None = None
    """Type mapper, neighbour list and other transforms; by default they follow from the model."""

    train_dataloader: dict[str, Any] | None = None
    """``batch_size``, ``max_atoms`` or ``max_edges``; ``shuffle``, ``num_workers``, ``pin_memory``,
    ``persistent_workers``, ``prefetch_factor``."""

    train_subset: dict[str, int] | None = None
    """``frames`` of the train set that are learnt from, and ``seed``. With the same seed smaller subsets are parts of
    larger ones, and each has all elements; isolated atoms are in all of them. By default the whole set is learnt
    from."""

    val_dataloader: dict[str, Any] | None = None
    """The same for validation; by default batches are as large as for training."""

    test_dataloader: dict[str, Any] | None = None
    """The same for testing."""

    stats_manager: StatsManager | None = None
    """Statistics of the train set for ``${training_data_stats:NAME}``."""

    statistics_workers: Annotated[int, Field(ge=1, le=1024)] = 1
    """Number of processes that count neighbours for statistics; 1: the main process does. The numbers are the same."""

    mask_nan_labels: bool = False
    """Treat NaN in a label as missing instead of refusing it."""

    unconverged: Unconverged = "error"
    """Frames whose self-consistent cycle did not converge, where a program's output tells: ``error`` refuses them,
    ``drop`` leaves them out, ``use`` learns from them."""

    cache_dir: str | None = ".equipot_cache"
    """Folder in which statistics are stored; None: they are not stored."""

    accept: list[str] | None = None
    """Codes of checks of the data that say nothing, e.g. ``[energy-far-off]``."""

    strict: bool = False
    """Whether a warning of the checks of the data stops the training."""

    def problems(self) -> Iterator[str]:
        """Problems of the labels, accepted checks and loaders."""
        yield from super().problems()
        yield from code_problems(self.accept or (), "accept")
        yield from problems_of(self.contract, self.subset, *(lambda part=part: self.loader(part) for part in PARTS))

    def contract(self) -> LabelContract:
        """Labels and where they are read from."""
        return label_contract(self.labels, "labels", units=self.units, weights=self.weights)

    def subset(self) -> SubsetOptions | None:
        """Which part of the train set is learnt from; None for all of it."""
        return None if self.train_subset is None else from_mapping(SubsetOptions, self.train_subset, "train_subset")

    def loader(self, part: str) -> LoaderOptions:
        """Options of the loader of ``train``, ``val`` or ``test``."""
        name = f"{part}_dataloader"
        return loader_options(getattr(self, name), name)


class Sources(NamedTuple):
    """All sources of a data section, grouped by set."""

    parts: dict[str, list[list[Any]]]
    """For ``train``, ``val`` and ``test``: the sources of each set, which are joined."""

    split: list[Any]
    """Sources that are joined and then split."""

    sizes: dict[str, float]
    """Fraction or number of frames of each part of the split."""


@dataclass(frozen=True, kw_only=True)
class SourceOptions(DataOptions):
    """Options of data sections with sources; derived classes add ``train_NAME``, ``val_NAME`` and ``test_NAME``."""

    split_dataset: dict[str, Any] | None = None
    """The source to split; ``train``, ``val``, ``test`` as fractions or numbers of frames; and ``by``: ``random``,
    ``composition``, ``group:KEY`` or ``block:N``."""

    source: ClassVar[str]
    """``NAME``, which is also the key of the source in ``split_dataset``."""

    expected: ClassVar[str]
    """What an option takes, in the words of messages, e.g. ``a path or a list of paths``."""

    example: ClassVar[str] = ""
    """An example of a source, shown in messages."""

    @property
    def split_by(self) -> str:
        """The rule of the split, as configs write it."""
        return str((self.split_dataset or {}).get("by", RANDOM))

    @property
    def split_rule(self) -> SplitRule:
        """The rule of the split."""
        return split_rule((self.split_dataset or {}).get("by", RANDOM), "split_dataset.by")

    @abc.abstractmethod
    def is_source(self, given: Any) -> bool:
        """Whether an entry of an option is a source."""

    def problems(self) -> Iterator[str]:
        """Problems of the sources and of the split, then those of all data sections."""
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
            what = f"{PARTS[0]}_{self.source} is given too"
            problems.append(problem(f"split_dataset.{PARTS[0]}", what, hint="give one of them"))
        if not problems and not split and not any(parts.values()):
            names = ", ".join(f"{part}_{self.source}" for part in PARTS)
            hint = f"give split_dataset or {names}"
            problems.append(problem("split_dataset", "no data are given", hint=hint))
        if problems:
            raise ConfigError(problems)
        return Sources(parts, split, sizes)

    def _groups(self, part: str, problems: list[str]) -> list[list[Any]]:
        """Sources by set: all train sources are one set; of the other parts, each entry is a set of its own."""
        where = f"{part}_{self.source}"
        given = getattr(self, where)
        entries = self._entries(given, where, problems)
        if part == PARTS[0]:
            return [entries] if entries else []
        listed = given if isinstance(given, list) else [given]
        return [self._entries(entry, where, []) for entry in listed if entry is not None]

    def _entries(self, given: Any, where: str, problems: list[str]) -> list[Any]:
        """All sources of an option as a flat list; appends to ``problems``."""
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
        where, known = "split_dataset", (self.source, *PARTS, "by")
        yield from (unknown(f"{where}.{key}", key, known) for key in given if key not in known)
        if self.source not in given and not any(nearest(key, known) == self.source for key in given):
            yield problem(f"{where}.{self.source}", "required option is missing")
        if not sizes:
            yield problem(where, "names no part", hint="give train, val, test as fractions or numbers of frames")
        yield from check_split(sizes, where)
        yield from problems_of(lambda: self.split_rule)
