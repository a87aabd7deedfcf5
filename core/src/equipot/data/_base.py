"""The base class of all data sections: it reads, checks, batches and counts sets of frames."""

from __future__ import annotations

import abc
import functools
import logging
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import lightning
from torch.utils.data import DataLoader

from equipot.data._census import Census
from equipot.data._checks import check_batch_sizes, check_elements, check_labels, check_weights
from equipot.data._collection import FrameCollection
from equipot.data._dataset import FrameDataset, complete_labels
from equipot.data._energy_references import MEAN, EnergyReferences, collect_references
from equipot.data._frames import LabelContract, without_force_consistent
from equipot.data._isolated import APART, is_alone
from equipot.data._loader import BatchOrder, TrainLoader, check_sizes, evaluation_loader
from equipot.data._set_statistics import set_statistics
from equipot.data._splits import PARTS, RANDOM, Nested, say_of_elements, split_frames, split_rule
from equipot.data._statistic_entries import StatisticValue
from equipot.data._subsets import elements_of, first_frames, nested_frames, others, split_labels
from equipot.data._weights import weight_scales
from equipot.data.checks import Verdict, judge
from equipot.data.checks._energy_checks import shift_findings
from equipot.data.options import DataOptions, LoaderOptions
from equipot.data.transforms import ModelEdges, NeighborListTransform, Transform, bind_transforms, mapper_among
from equipot.errors import ConfigError, problem
from equipot.fields import LABELS
from equipot.files import file_digest
from equipot.graph import Graph
from equipot.model._context import ModelInfo
from equipot.options import Configurable

logger = logging.getLogger(__name__)

TRAIN = PARTS[0]

T = TypeVar("T")


class DataModule(Configurable, lightning.LightningDataModule, abc.ABC, options=DataOptions):
    """Labelled frames for training; derived classes say where the frames come from.

    Constructors do not read data, because checking a config calls them. The options of a derived class are a
    dataclass derived from ``equipot.data.options.DataOptions``.
    """

    options: DataOptions

    def __post_init__(self) -> None:
        """Set up from the options, without reading data."""
        super().__post_init__()
        options = self.options
        self._loaders = {part: options.loader(part) for part in PARTS}
        self._transforms: list[Transform] = list(options.transforms or [])
        self.info: ModelInfo | None = None
        self.split_indices: dict[str, list[int]] = {}
        """Frames of the split set in each part, by index."""
        self.split_by = RANDOM
        """The rule by which they were split."""
        self._read: dict[str, FrameCollection] = {}
        """What ``elements`` has read, until it is set up."""
        self._sets: dict[str, FrameDataset] = {}
        """What is set up; empty before."""
        self._census = Census(self.label_contract, options.units)
        self._used: frozenset[str] | None = None
        """Labels that a run uses; None outside of runs, where all count."""
        self._unjudged: dict[str, FrameCollection] | None = None
        """Frames as read, which ``verdict`` needs once more."""

    @property
    def units(self) -> str:
        """Unit system of the data, ``metal`` or ``real``."""
        return self.options.units

    @functools.cached_property
    def label_contract(self) -> LabelContract:
        """Labels, and where each is read from."""
        return self.options.contract()

    @abc.abstractmethod
    def read_sets(self) -> dict[str, FrameCollection]:
        """Read all frames.

        Returns:
            Frames by set: ``train``, ``val0``, ``val1``, ..., ``test0``, and so on. See
            ``collect_frames``, ``split`` and ``name_sets``.
        """

    @abc.abstractmethod
    def source_files(self) -> list[str]:
        """All files and folders that are read, without repetition; checkpoints store their digests."""

    @property
    def split_source(self) -> Any:
        """What ``split_indices`` refer to, as plain containers for ``splits.json``."""
        return None

    @property
    def species(self) -> Mapping[Any, str] | None:
        """Element of each name of atoms in the files that is not a symbol, where options say so."""
        return None

    def split(
        self, whole: FrameCollection, sizes: Mapping[str, float], *, by: str = RANDOM
    ) -> dict[str, FrameCollection]:
        """Split frames by the seed, and keep the ``split_indices``.

        Every element is in ``train`` if it is in any of the frames: others are exchanged for it where needed.

        Args:
            whole: All frames; isolated atoms always go to ``train``.
            sizes: Fraction or number of frames of ``train``, ``val`` and ``test``.
            by: ``random``, ``composition``, ``group:KEY`` or ``block:N``.

        Raises:
            ConfigError: If there is no such rule, a part is empty or the parts are larger than the set.
            DataError: If a frame has nothing under the key of the groups.
        """
        rule = split_rule(by)
        isolated = self.isolated_frames(whole) if TRAIN in sizes else []
        pool = others(whole, isolated)
        elements = elements_of(whole, pool)
        made = split_frames(
            elements,
            sizes,
            self.options.seed,
            rule=rule,
            labels=split_labels(whole, pool, rule),
            isolated=len(isolated),
        )
        say_of_elements(made)
        self.split_by = by
        self.split_indices = {part: [pool[index] for index in indices] for part, indices in made.parts.items()}
        if TRAIN in made.parts:
            self.split_indices[TRAIN] += isolated
        return {part: whole.subset(indices) for part, indices in self.split_indices.items()}

    def nested_frames(self, train: FrameCollection, seed: int) -> Nested:
        """The order in which ``train_subset`` takes frames, with the number of first frames that have all elements.

        Args:
            train: Frames of a train set; isolated atoms are not in the order.
            seed: Of the order.
        """
        return nested_frames(train, self.isolated_frames(train), split_rule(self.split_by), seed)

    def _all_sets(self) -> dict[str, FrameCollection]:
        """Frames of each set; of the train set, those that are learnt from."""
        sets, wanted = self.read_sets(), self.options.subset()
        if wanted is None or TRAIN not in sets:
            return sets
        train = sets[TRAIN]
        kept = first_frames(self.nested_frames(train, wanted.seed), wanted.frames)
        kept = sorted([*kept, *self.isolated_frames(train)])
        if TRAIN in self.split_indices:
            self.split_indices[TRAIN] = [self.split_indices[TRAIN][index] for index in kept]
        return {**sets, TRAIN: train.subset(kept)}

    def isolated_frames(self, whole: FrameCollection) -> list[int]:
        """Indices of frames that are marked as isolated atoms, or are one atom without neighbours.

        Args:
            whole: Frames as read.
        """
        r_max = APART if self.info is None else self.info.r_max
        alone = {index for index in whole.single_atoms() if is_alone(whole.frames[index], r_max)}
        return [index for index, marked in enumerate(whole.isolated) if marked or index in alone]

    def bind(self, info: ModelInfo) -> None:
        """Adopt the types, cutoff radii and edge sets of a model.

        Args:
            info: ``model.info`` or ``recipe.info(units)``.

        Raises:
            ConfigError: If units, transforms or the types of the statistics contradict the model.
            DataError: If frames that were already read contain elements that the model does not know.
        """
        if info.units != self.units:
            raise ConfigError(problem("data.units", f"differ from the model's {info.units!r}", got=self.units))
        if self.options.stats_manager is not None:
            self.options.stats_manager.resolve_type_names(info.type_names)
        transforms = bind_transforms(self.options.transforms, info)
        sets = {name: one.with_transforms(transforms) for name, one in self._sets.items()}
        check_elements(sets, transforms)
        self._transforms, self._sets, self.info = transforms, sets, info

    def expected_sets(self) -> list[str] | None:
        """Names of the sets that the options define, e.g. ``train``, ``val0``; None if only reading shows them.

        The check of a config uses them to find monitored names that are never logged.
        """
        return None

    def use_labels(self, labels: Iterable[str]) -> None:
        """Say, before data are read, which labels training or metrics use.

        Without forces, stress and virial among them, the energy is read from its own key in all frames.

        Args:
            labels: Labels besides the energy; NaN in all others is then accepted.
        """
        self._used = frozenset({"total_energy", *labels})
        contract = self.options.contract()
        derivatives = self._used & {"forces", "stress", "virial"}
        self.label_contract = contract if derivatives else without_force_consistent(contract)

    def setup(self, stage: str | None = None) -> None:
        """Read, split and check all data; a second call does nothing.

        Args:
            stage: Given by Lightning and ignored: all sets are read at every stage.

        Raises:
            ConfigError: If a split is empty or a batch is larger than its set.
            DataError: If files, labels or elements cannot be used.
        """
        del stage
        if self._sets:
            return
        collections = self._read or self._collections()
        scales = weight_scales(collections, self.label_contract)
        present = set().union(*(collection.labels for collection in collections.values()))
        labels = [label for label in LABELS if label in present]
        sets = {
            name: FrameDataset(
                complete_labels(collection.frames, labels, scales),
                collection.places,
                self._transforms,
                isolated=collection.isolated,
                single=collection.single_atoms(),
            )
            for name, collection in collections.items()
        }
        check_batch_sizes(sets, self._loaders)
        check_elements(sets, self._transforms)
        self._sets, self._read = sets, {}
        self._unjudged = collections if self._used is not None else None  # a run is to come, which judges them

    def _collections(self) -> dict[str, FrameCollection]:
        """All sets as read, with their labels checked."""
        collections = self._all_sets()
        self._census = Census(self.label_contract, self.options.units)
        for name, collection in collections.items():
            self._census.add(name, collection)
        wanted = {"total_energy"} if self.options.labels is None else set(self.label_contract) & set(LABELS)
        check_labels(self._census, wanted, self.source_files(), self._used)
        check_weights(collections.values(), self.label_contract, self.source_files())
        return collections

    def elements(self) -> list[str]:
        """Chemical symbols of all elements in all sets, sorted; reads the data, and needs no model.

        Raises:
            DataError: As ``setup``.
        """
        if not self._sets and not self._read:
            self._read = self._collections()
        return sorted({symbol for one in self._census.sets.values() for symbol in one.elements})

    def adopt(self, other: DataModule) -> None:
        """Take over what another data module with the same options has read but not set up.

        Args:
            other: Of which ``elements`` was asked.
        """
        self._read, self._census, self._used = other._read, other._census, other._used
        self.split_indices, self.split_by = other.split_indices, other.split_by

    def census(self) -> Census:
        """The labels found in each set, printable as a table; reads the data on first use."""
        self.setup()
        return self._census

    def verdict(
        self,
        shifts: Mapping[str, float] | None = None,
        *,
        sets: Mapping[str, FrameCollection] | None = None,
        accept: Iterable[str] = (),
        strict: bool = False,
    ) -> Verdict:
        """Judge all sets, also those that ``setup`` refuses; reads the data if ``setup`` has not kept them for this.

        Args:
            shifts: Energy of each element that the model starts from, in the unit of the data, if there are numbers.
            sets: Judged in place of the module's own.
            accept: Codes of checks that say nothing, besides those of the options.
            strict: Whether warnings stop a training, as with the option of this name.
        """
        if sets is None:
            sets = self._all_sets() if self._unjudged is None else self._unjudged
        self.forgo_verdict()
        mapper = mapper_among(self._transforms)
        return judge(
            sets,
            self.label_contract,
            units=self.options.units,
            used=self._used,
            types=None if mapper is None else mapper.supported,
            shifts=shifts,
            read_keys=self.read_keys(),
            accept=[*(self.options.accept or ()), *accept],
            strict=strict or self.options.strict,
        )

    def forgo_verdict(self) -> None:
        """Let go of what ``setup`` has kept for ``verdict``, which another process makes."""
        self._unjudged = None

    def read_keys(self) -> Collection[str]:
        """Keys of the files that are read besides those of the label contract; others may be said to be unused."""
        return ()

    def dataset(self, name: str = TRAIN) -> FrameDataset:
        """One of the sets: ``train``, ``val0``, ``test0``, ...

        Raises:
            ConfigError: If the data section does not have this set.
        """
        self.setup()
        if name not in self._sets:
            raise ConfigError(problem("data", f"no {name} set is given", hint=f"sets: {list(self._sets)}"))
        return self._sets[name]

    @property
    def set_names(self) -> list[str]:
        """Names of all sets, e.g. ``train``, ``val0``, ``test0``."""
        self.setup()
        return list(self._sets)

    def file_hashes(self) -> dict[str, str]:
        """SHA-256 of each file or folder that is read."""
        return {path: file_digest(path) for path in self.source_files()}

    def statistics(self, names: Collection[str] | None = None) -> dict[str, StatisticValue]:
        """Statistics of the train set, from the cache if data, model and manager are the same.

        Args:
            names: What to compute; None for everything that the data allow, with a warning for each
                statistic that has no value.

        Raises:
            ConfigError: If there is no manager, or it does not know a name.
            DataError: If a requested statistic has no value; the message names it.
        """
        manager = self.options.stats_manager
        if manager is None:
            what = "statistics are requested but no manager is given"
            hint = "add stats_manager: {_target_: equipot.data.CommonDataStatisticsManager}"
            raise ConfigError(problem("data.stats_manager", what, hint=hint))
        options, dataset = self.options, self._ready(TRAIN)
        cache_dir = None if options.cache_dir is None else Path(options.cache_dir)
        workers = options.statistics_workers
        values = set_statistics(dataset, self._transforms, manager, names, cache_dir=cache_dir, workers=workers)
        if isinstance(mean := values.get(MEAN), float):
            self._judge_mean(mean)
        return values

    def _judge_mean(self, mean: float) -> None:
        """Warn of a mean energy per atom that isolated atoms in the train set contradict."""
        dataset, mapper = self._sets[TRAIN], mapper_among(self._transforms)
        if mapper is None:
            return
        alone = [index for index, isolated in enumerate(dataset.isolated_atoms()) if isolated]
        references = collect_references([(dataset.raw(index), True) for index in alone], mapper)
        shifts = dict.fromkeys(mapper.model_type_names, mean)
        for one in shift_findings(references, shifts, self.options.units):
            logger.warning("statistic %s: %s; %s [%s]", MEAN, one.message, one.check.advice, one.code)

    def energy_references(self, name: str = TRAIN) -> EnergyReferences:
        """Compositions with energies, and isolated atoms, of a set: what energies per type follow from.

        Args:
            name: The set.

        Raises:
            ConfigError: If there is no such set, or no model or type mapper says what the types are.
        """
        dataset = self._ready(name)
        mapper = mapper_among(self._transforms)
        if mapper is None:  # which _ready refuses
            raise ConfigError(problem("data.transforms", "types are not known"))
        pairs = enumerate(dataset.isolated_atoms())
        return collect_references(((dataset.raw(index), isolated) for index, isolated in pairs), mapper)

    def train_dataloader(self) -> TrainLoader:
        """Shuffled, resumable batches of the train set."""
        options = self._loaders[TRAIN]
        dataset = self._ready(TRAIN)
        order = self._order(dataset, options, TRAIN, shuffle=options.shuffle is not False)
        return TrainLoader(dataset, order, **options.torch_options())

    def val_dataloader(self) -> list[DataLoader[Graph]]:
        """A loader per validation set; the first is ``val0``."""
        return self._evaluation_loaders("val")

    def test_dataloader(self) -> list[DataLoader[Graph]]:
        """A loader per test set; the first is ``test0``."""
        return self._evaluation_loaders("test")

    def _evaluation_loaders(self, part: str) -> list[DataLoader[Graph]]:
        options = self._loaders[part]
        loaders = []
        for dataset in [self._ready(name) for name in self.set_names if name.startswith(part)]:
            order = self._order(dataset, options, part, shuffle=bool(options.shuffle))
            loaders.append(evaluation_loader(dataset, order, **options.torch_options()))
        return loaders

    def _order(self, dataset: FrameDataset, options: LoaderOptions, part: str, *, shuffle: bool) -> BatchOrder:
        if options.max_atoms is not None:
            sizes, limit, what = dataset.num_atoms(), options.max_atoms, "atoms"
        elif options.max_edges is not None:
            sizes, limit, what = dataset.num_edges(), options.max_edges, "edges"
        else:
            batch_size = options.batch_size or self._loaders[TRAIN].batch_size or 1
            return BatchOrder(len(dataset), self.options.seed, batch_size=batch_size, shuffle=shuffle)
        check_sizes(sizes, limit, dataset.places, what, f"data.{part}_dataloader.max_{what}")
        return BatchOrder(len(dataset), self.options.seed, sizes=sizes, limit=limit, shuffle=shuffle)

    def _ready(self, name: str) -> FrameDataset:
        dataset = self.dataset(name)
        has_edges = any(isinstance(one, (ModelEdges, NeighborListTransform)) for one in self._transforms)
        if mapper_among(self._transforms) is None or not has_edges:
            hint = "call bind(model.info), or give a type mapper and a neighbour list"
            raise ConfigError(problem("data.transforms", "types and edges are not known", hint=hint))
        return dataset


def name_sets(parts: Iterable[tuple[str, T]]) -> dict[str, T]:
    """Number the sets of each part in the order given: ``train``, ``val0``, ``val1``, ..., ``test0``, and so on.

    Args:
        parts: ``train``, ``val`` or ``test`` with the frames of each set.
    """
    named: dict[str, T] = {}
    for part, frames in parts:
        number = sum(name.startswith(part) for name in named)
        named[part if part == TRAIN else f"{part}{number}"] = frames
    return named
