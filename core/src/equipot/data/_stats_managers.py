"""Statistics of the train set that a config may use as ``${training_data_stats:NAME}``.

Managers list their statistics before any data are read, and compute only those that are requested, in one pass over
the frames. If a statistic has no value, an error names it; it is never NaN.

Frames of isolated atoms are part of no statistic except for those whose collectors ask for them
(``ReferenceCollector``): their energies are far from the others', and their missing neighbours and forces say
nothing of what a model will see.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
import logging
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol

from equipot.data._energy_references import AUTO
from equipot.data._energy_shifts import (
    BestShifts,
    IsolatedAtoms,
    LeastSquaresShifts,
    NearestToMean,
    ReferenceCollector,
    Shrunk,
    without_isolated,
)
from equipot.data._statistic_entries import EntryCollector, StatisticEntry, StatisticKind, StatisticValue
from equipot.errors import ConfigError, DataError, problem, unknown
from equipot.graph import Graph, collate
from equipot.options import Options, from_mapping
from equipot.quantities import NumNeighbors, PerAtomModifier

logger = logging.getLogger(__name__)

_FRAMES_AT_ONCE = 64


class Collector(Protocol):
    """Computes one statistic from batches of frames."""

    def update(self, batch: Graph) -> None:
        """Add frames with types and edges."""
        ...

    def result(self) -> StatisticValue:
        """The statistic, or a DataError if the frames do not determine it."""
        ...


class StatsManager(ABC):
    """Base of all statistics managers; registered with the hook ``equipot_stats_managers``."""

    type_names: tuple[str, ...] | None = None
    """Type names given by the user; None: those of the model."""

    @abstractmethod
    def names(self) -> dict[str, StatisticKind]:
        """Name and kind of each statistic, known before any data are read."""

    def default_names(self) -> list[str]:
        """Statistics to compute if none is requested by name."""
        return list(self.names())

    @abstractmethod
    def collector(self, name: str, type_names: Sequence[str]) -> Collector:
        """A new collector for the statistic with this name; a ``ReferenceCollector`` also gets isolated atoms."""

    def fields_read(self, requested: Collection[str] | None, type_names: Sequence[str]) -> set[str] | None:
        """Fields of frames that statistics read: without edges, no neighbour lists are needed.

        Args:
            requested: Names; None: ``default_names()``.
            type_names: The model's type names.

        Returns:
            Fields, ``num_neighbors`` among them if edges are only counted. None if a collector does not say what it
            reads with an attribute ``requires``.
        """
        names = self.default_names() if requested is None else requested
        read = [getattr(self.collector(name, type_names), "requires", None) for name in names]
        return None if None in read else {key for one in read for key in one or ()}

    def config(self) -> dict[str, Any]:
        """Everything except the data that the values depend on, as plain containers, for the cache.

        The options of a manager that is a dataclass are among it; others with options override this.
        """
        names: list[str] = [one.name for one in dataclasses.fields(self)] if dataclasses.is_dataclass(self) else []
        # without addresses, which differ in each process
        options = {name: re.sub(r" at 0x[0-9a-f]+", "", repr(getattr(self, name))) for name in names}
        return {
            "class": f"{type(self).__module__}.{type(self).__qualname__}",
            "names": self.names(),
            "options": options,
        }

    def compute(
        self,
        frames: Iterable[Graph],
        type_names: Sequence[str] | None = None,
        requested: Collection[str] | None = None,
        *,
        isolated: Iterable[bool] | None = None,
    ) -> dict[str, StatisticValue]:
        """Statistics of frames, in one pass; isolated atoms are left out.

        Args:
            frames: Single frames with ``atom_types`` and edges.
            type_names: The model's type names; may be left out if the manager has its own.
            requested: Names to compute; None: ``default_names()``.
            isolated: For each frame, whether it is an isolated atom even if it has neighbours (images in a small
                cell); frames of one atom without neighbours always are.

        Returns:
            A number, or ``{type: number}``, for each name.

        Raises:
            ConfigError: If a name is unknown, or type names differ from those of the manager.
            DataError: If statistics have no value; the message names each of them and the types.
        """
        wanted = self.default_names() if requested is None else list(dict.fromkeys(requested))
        values, problems = self._collect(frames, wanted, type_names, isolated)
        if problems:
            raise DataError("\n".join(problems))
        return values

    def compute_possible(
        self,
        frames: Iterable[Graph],
        type_names: Sequence[str] | None = None,
        *,
        isolated: Iterable[bool] | None = None,
    ) -> dict[str, StatisticValue]:
        """As ``compute`` with the default statistics, but those without a value are left out with a warning."""
        values, problems = self._collect(frames, self.default_names(), type_names, isolated)
        for text in problems:
            logger.warning("%s", text)
        return values

    def _collect(
        self,
        frames: Iterable[Graph],
        names: list[str],
        type_names: Sequence[str] | None,
        isolated: Iterable[bool] | None,
    ) -> tuple[dict[str, StatisticValue], list[str]]:
        self.check_names(names)
        types = self.resolve_type_names(type_names)
        collectors = {name: self.collector(name, types) for name in names}
        references = [one for one in collectors.values() if isinstance(one, ReferenceCollector)]
        marks = itertools.repeat(False) if isolated is None else isolated
        for batch in _batches(without_isolated(frames, marks, references)) if collectors else ():
            for one in collectors.values():
                one.update(batch)
        values: dict[str, StatisticValue] = {}
        problems = []
        for name, one in collectors.items():
            try:
                values[name] = one.result()
            except DataError as error:
                problems.append(f"statistic {name}: {error}")
        return values, problems

    def check_names(self, names: Iterable[str], where: str = "training_data_stats") -> None:
        """Refuse unknown names.

        Raises:
            ConfigError: With a suggestion for each unknown name.
        """
        known = self.names()
        problems = [unknown(where, name, known, "statistic") for name in names if name not in known]
        if problems:
            raise ConfigError(problems)

    def resolve_type_names(self, type_names: Sequence[str] | None) -> tuple[str, ...]:
        """Type names of the manager or, if it has none, those that are given.

        Raises:
            ConfigError: If there are none, or both exist and differ.
        """
        where = "stats_manager.type_names"
        types = type_names if self.type_names is None else self.type_names
        if types is None:
            raise ConfigError(problem(where, "is needed: no model gives the types"))
        if type_names is not None and tuple(types) != tuple(type_names):
            what = f"differ from the model's {list(type_names)}"
            raise ConfigError(problem(where, what, got=list(types), hint="leave them out"))
        return tuple(types)


@dataclass(frozen=True, kw_only=True)
class _EntriesManager(Options, StatsManager):
    """A manager whose statistics are entries and, if it has any, energy references."""

    references: ClassVar[dict[str, Callable[[Sequence[str]], ReferenceCollector]]] = {}
    """Name to collector of the energy references, which many data sets do not determine."""

    type_names: tuple[str, ...] | None = None
    """Type names; by default those of the model."""

    @abstractmethod
    def entries(self) -> list[StatisticEntry]:
        """The statistics."""

    @functools.cached_property
    def _entries(self) -> dict[str, StatisticEntry]:
        return {entry.name: entry for entry in self.entries()}

    def names(self) -> dict[str, StatisticKind]:
        """Name and kind of each entry and energy reference."""
        kinds: dict[str, StatisticKind] = {name: entry.kind for name, entry in self._entries.items()}
        return {**kinds, **dict.fromkeys(self.references, "per_type")}

    def default_names(self) -> list[str]:
        """Names of the entries; energy references are computed only if they are requested."""
        return list(self._entries)

    def collector(self, name: str, type_names: Sequence[str]) -> Collector:
        """A new collector for the entry or energy reference."""
        reference = self.references.get(name)
        return EntryCollector(self._entries[name], type_names) if reference is None else reference(type_names)

    def config(self) -> dict[str, Any]:
        """The entries with the options of their metrics and quantities."""
        return {**super().config(), "entries": {name: one.fingerprint() for name, one in self._entries.items()}}


@dataclass(frozen=True, kw_only=True)
class DataStatisticsManager(_EntriesManager):
    """Statistics that the user defines."""

    metrics: list[dict[str, Any]] = field(kw_only=False)
    """One mapping for each statistic, with ``field`` (a field's name, ``PerAtomModifier``, ``NumNeighbors`` or
    ``EdgeLengths``), ``metric`` (``Mean``, ``RootMeanSquare``, ...), and optionally ``per_type``, ``ignore_nan`` and
    ``name``."""

    def problems(self) -> Iterator[str]:
        """Problems of all entries, and names that occur twice."""
        names = []
        for index in range(len(self.metrics)):
            try:
                names.append(self._entry(index).name)
            except ConfigError as error:
                yield from error.problems
        for name in dict.fromkeys(names):
            if names.count(name) > 1:
                yield problem("metrics", "two statistics have the same name", got=name)

    def _entry(self, index: int) -> StatisticEntry:
        return from_mapping(StatisticEntry, self.metrics[index], f"metrics.{index}")

    def entries(self) -> list[StatisticEntry]:
        """One for each mapping."""
        return [self._entry(index) for index in range(len(self.metrics))]


_REFERENCES: dict[str, Callable[[Sequence[str]], ReferenceCollector]] = {
    AUTO: BestShifts,
    "isolated_atom_energies": IsolatedAtoms,
    "per_type_energy_shifts_lstsq": LeastSquaresShifts,
    "per_type_energy_shifts_min_norm": NearestToMean,
    "per_type_energy_shifts_ridge": Shrunk,
}


def _per_atom_energy(name: str, metric: str) -> StatisticEntry:
    return StatisticEntry(name=name, field=PerAtomModifier("total_energy"), metric=metric)


def _neighbors_and_energy() -> list[StatisticEntry]:
    """What both managers have. Entries look fields up, so that none is made before it is needed."""
    return [
        StatisticEntry(name="num_neighbors_mean", field=NumNeighbors(), metric="Mean"),
        StatisticEntry(name="per_type_num_neighbors_mean", field=NumNeighbors(), metric="Mean", per_type=True),
        _per_atom_energy("per_atom_energy_mean", "Mean"),
    ]


class CommonDataStatisticsManager(_EntriesManager):
    """Neighbours, mean energy per atom, force rms, and energy references.

    ``num_neighbors_mean``, ``per_type_num_neighbors_mean``, ``per_atom_energy_mean``,
    ``forces_rms``, ``per_type_forces_rms``, ``per_type_energy_shifts_auto``,
    ``isolated_atom_energies``, ``per_type_energy_shifts_lstsq``, ``per_type_energy_shifts_min_norm``,
    ``per_type_energy_shifts_ridge``.
    """

    references = _REFERENCES

    def entries(self) -> list[StatisticEntry]:
        """The statistics."""
        return [
            *_neighbors_and_energy(),
            StatisticEntry(name="forces_rms", field="forces", metric="RootMeanSquare"),
            StatisticEntry(name="per_type_forces_rms", field="forces", metric="RootMeanSquare", per_type=True),
        ]


class EnergyOnlyDataStatisticsManager(_EntriesManager):
    """Statistics that read no forces.

    ``num_neighbors_mean``, ``per_type_num_neighbors_mean``, ``per_atom_energy_mean``,
    ``per_atom_energy_std``, ``total_energy_std``, ``per_type_energy_shifts_auto``,
    ``isolated_atom_energies``, ``per_type_energy_shifts_lstsq``, ``per_type_energy_shifts_min_norm``,
    ``per_type_energy_shifts_ridge``.
    """

    references = _REFERENCES

    def entries(self) -> list[StatisticEntry]:
        """The statistics."""
        return [
            *_neighbors_and_energy(),
            _per_atom_energy("per_atom_energy_std", "StandardDeviation"),
            StatisticEntry(name="total_energy_std", field="total_energy", metric="StandardDeviation"),
        ]


def _batches(frames: Iterable[Graph]) -> Iterator[Graph]:
    """Join some frames at a time, which gives the same values in fewer tensor operations."""
    remaining = iter(frames)
    while some := list(itertools.islice(remaining, _FRAMES_AT_ONCE)):
        yield collate(some)
