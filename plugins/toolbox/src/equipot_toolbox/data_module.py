"""The data section of a config whose frames come from data sets named one by one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

from equipot.data import (
    DataModule,
    FrameCollection,
    LazyFrames,
    StatsManager,
    check_split,
    collect_frames,
    frame_from_atoms,
    name_sets,
)
from equipot.errors import did_you_mean, problem
from equipot.graph import Graph
from equipot_toolbox.datasets import FrameSource, joined

PARTS = ("train", "val", "test")


class FrameDataModule(DataModule):
    """Labelled frames from data sets: ``ASEDataset``, ``NPZDataset``, ``HDF5Dataset``, ``LMDBDataset``.

    Args:
        seed: Decides the split and the order of batches.
        units: ``metal`` (eV, Å) or ``real`` (kcal/mol, Å): what the data are in.
        train_dataset: A data set, or a list that is joined.
        val_dataset: A data set, or a list with one for each validation set.
        test_dataset: The same for test sets.
        split_dataset: ``dataset`` (one, or a list that is joined) and ``train``, ``val``, ``test`` as
            fractions or numbers of frames.
        labels: Label to key in calc.results, info or arrays; by default as in ASE's calculators.
        transforms: Type mapper, neighbour list and others; by default they follow from the model.
        train_dataloader: As of ``equipot.data.ASEDataModule``.
        val_dataloader: The same for validation; batches as for training by default.
        test_dataloader: The same for test.
        stats_manager: Statistics of the train set for ``${training_data_stats:NAME}``.
        mask_nan_labels: Treat NaN in a label as missing instead of refusing it.
        cache_dir: Folder for statistics; None keeps none.

    Raises:
        ConfigError: With all problems that show before data are read.
    """

    def __init__(  # noqa: PLR0913 - the options of the data section
        self,
        seed: int,
        *,
        units: Literal["metal", "real"] = "metal",
        train_dataset: Any = None,
        val_dataset: Any = None,
        test_dataset: Any = None,
        split_dataset: dict[str, Any] | None = None,
        labels: dict[str, Any] | None = None,
        transforms: list[Any] | None = None,
        train_dataloader: dict[str, Any] | None = None,
        val_dataloader: dict[str, Any] | None = None,
        test_dataloader: dict[str, Any] | None = None,
        stats_manager: StatsManager | None = None,
        mask_nan_labels: bool = False,
        cache_dir: str | None = ".equipot_cache",
    ) -> None:
        problems: list[str] = []
        given = {"train": train_dataset, "val": val_dataset, "test": test_dataset}
        self._sources = {part: _sources(value, f"data.{part}_dataset", problems) for part, value in given.items()}
        self._split = dict(split_dataset or {})
        self._split_sources = _split_sources(self._split, problems)
        if self._sources["train"] and "train" in self._split:
            where = "data.split_dataset.train"
            problems.append(problem(where, "there is a train_dataset already", hint="give one of them"))
        if not any(self._sources.values()) and not self._split and not problems:
            problems.append(problem("data", "names no data set", hint="give split_dataset or train_dataset, …"))
        super().__init__(
            seed,
            units=units,
            labels=labels,
            transforms=transforms,
            dataloaders={"train": train_dataloader, "val": val_dataloader, "test": test_dataloader},
            stats_manager=stats_manager,
            mask_nan_labels=mask_nan_labels,
            cache_dir=cache_dir,
            problems=problems,
        )

    def source_files(self) -> list[str]:
        """Every file, once."""
        sources = [*self._split_sources, *(source for part in self._sources.values() for source in part)]
        return list(dict.fromkeys(path for source in sources for path in source.paths()))

    @property
    def split_source(self) -> list[str]:
        """The files that are split."""
        return [path for source in self._split_sources for path in source.paths()]

    def read_sets(self) -> dict[str, FrameCollection]:
        """Frames of all data sets."""
        return name_sets(self._parts())

    def _parts(self) -> Iterator[tuple[str, FrameCollection]]:
        for part, sources in self._sources.items():
            for source in [joined(sources)] if part == "train" and sources else sources:
                yield part, self._read(source)
        if self._split_sources:
            sizes = {part: self._split[part] for part in PARTS if part in self._split}
            yield from self.split(self._read(joined(self._split_sources)), sizes).items()

    def _read(self, source: FrameSource) -> FrameCollection:
        contract = self.label_contract
        every = ((source.place(index), source.atoms(index)) for index in range(len(source)))
        found = collect_frames(every, contract, mask_nan=self.mask_nan_labels, keep=source.in_memory)
        if not source.in_memory:
            reader = _Reader(source, contract, mask_nan=self.mask_nan_labels)
            found.frames = LazyFrames(reader, range(len(source)))
        return found


class _Reader:
    """Makes a frame of a data set when it is needed."""

    def __init__(self, source: FrameSource, contract: dict[str, Any], *, mask_nan: bool) -> None:
        self.source, self.contract, self.mask_nan = source, contract, mask_nan

    def __call__(self, index: int) -> Graph:
        where = self.source.place(index)
        return frame_from_atoms(self.source.atoms(index), self.contract, where, mask_nan=self.mask_nan)[0]


def _sources(given: Any, where: str, problems: list[str]) -> list[FrameSource]:
    """The data sets of an option; problems are appended to the list."""
    items = [] if given is None else given if isinstance(given, list) else [given]
    hint = "for example {_target_: equipot_toolbox.NPZDataset, file_path: …}"
    problems += [
        problem(where, "must be a data set or a list of them", got=item, hint=hint)
        for item in items
        if not isinstance(item, FrameSource)
    ]
    return [item for item in items if isinstance(item, FrameSource)]


def _split_sources(split: dict[str, Any], problems: list[str]) -> list[FrameSource]:
    where, allowed = "data.split_dataset", ("dataset", *PARTS)
    if not split:
        return []
    problems += [
        problem(f"{where}.{key}", "unknown option", hint=did_you_mean(key, allowed) or f"options: {', '.join(allowed)}")
        for key in split
        if key not in allowed
    ]
    if "dataset" not in split:
        problems.append(problem(f"{where}.dataset", "required option is missing"))
    sizes = {part: split[part] for part in PARTS if part in split}
    if not sizes:
        problems.append(problem(where, "names no part", hint="give train, val, test as fractions or numbers of frames"))
    problems += check_split(sizes, where)
    return _sources(split.get("dataset"), f"{where}.dataset", problems)
