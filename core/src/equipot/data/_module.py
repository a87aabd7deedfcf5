"""The data section of a config whose frames are in files that ASE reads."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

from equipot.data._base import DataModule, name_sets
from equipot.data._collection import FrameCollection, read_collection
from equipot.data._options import data_files
from equipot.data._stats_managers import StatsManager


class ASEDataModule(DataModule):
    """Labelled frames from files that ASE reads.

    Args:
        seed: Decides the split and the order of batches.
        units: ``metal`` (eV, Å) or ``real`` (kcal/mol, Å): what the files are in.
        split_dataset: ``file_path`` (a path or a list) and ``train``, ``val``, ``test`` as fractions
            or numbers of frames. Frames with ``config_type=IsolatedAtom`` always go to train.
        train_file_path: File or files of the train set.
        val_file_path: File of a validation set, or a list with one file (or list of files) a set.
        test_file_path: The same for test sets.
        labels: Label to key in calc.results, info or arrays, e.g. ``{total_energy: REF_energy}``; by
            default as in ASE's SinglePointCalculator.
        transforms: Type mapper, neighbour list and others; by default they follow from the model.
        ase_args: Arguments of ``ase.io.iread``, e.g. ``{format: extxyz}``.
        train_dataloader: ``batch_size``, ``max_atoms`` or ``max_edges``; ``shuffle``,
            ``num_workers``, ``pin_memory``, ``persistent_workers``, ``prefetch_factor``.
        val_dataloader: The same for validation; batches as for training by default.
        test_dataloader: The same for test.
        stats_manager: Statistics of the train set for ``${training_data_stats:NAME}``.
        mask_nan_labels: Treat NaN in a label as missing instead of refusing it.
        cache_dir: Folder for statistics; None keeps none.

    Raises:
        ConfigError: With all problems that show before files are read.
    """

    def __init__(  # noqa: PLR0913 - the options of the data section
        self,
        seed: int,
        *,
        units: Literal["metal", "real"] = "metal",
        split_dataset: dict[str, Any] | None = None,
        train_file_path: str | list[str] | None = None,
        val_file_path: str | list[Any] | None = None,
        test_file_path: str | list[Any] | None = None,
        labels: dict[str, Any] | None = None,
        transforms: list[Any] | None = None,
        ase_args: dict[str, Any] | None = None,
        train_dataloader: dict[str, Any] | None = None,
        val_dataloader: dict[str, Any] | None = None,
        test_dataloader: dict[str, Any] | None = None,
        stats_manager: StatsManager | None = None,
        mask_nan_labels: bool = False,
        cache_dir: str | None = ".equipot_cache",
    ) -> None:
        problems: list[str] = []
        files = {"train": train_file_path, "val": val_file_path, "test": test_file_path}
        self._files = data_files(files, split_dataset, problems)
        self._split_file = (split_dataset or {}).get("file_path")
        self._ase_args = dict(ase_args or {})
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
        return self._files.paths()

    @property
    def split_source(self) -> Any:
        """The file or files that are split, as given."""
        return self._split_file

    def read_sets(self) -> dict[str, FrameCollection]:
        """Frames of all files, by set."""
        return name_sets(self._parts())

    def _parts(self) -> Iterator[tuple[str, FrameCollection]]:
        for part, groups in self._files.groups.items():
            for group in groups:
                yield part, self._read(group)
        if self._files.split is not None:
            yield from self.split(self._read(self._files.split.files), self._files.split.sizes).items()

    def _read(self, files: list[str]) -> FrameCollection:
        return read_collection(files, self._contract, self._ase_args, mask_nan=self.mask_nan_labels)
