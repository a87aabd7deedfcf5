"""Data sections that read data sets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from equipot.data import (
    FrameCollection,
    LabelContract,
    LazyFrames,
    SourceDataModule,
    collect_frames,
    frame_from_atoms,
)
from equipot.data.options import SourceOptions
from equipot.graph import Graph
from equipot_toolbox._frame_source import FrameSource, joined


@dataclass(frozen=True, kw_only=True)
class FrameDataOptions(SourceOptions):
    """Options of FrameDataModule."""

    source: ClassVar[str] = "dataset"
    expected: ClassVar[str] = "a data set or a list of them"
    example: ClassVar[str] = "for example {_target_: equipot_toolbox.NPZDataset, file_path: …}"

    split_dataset: dict[str, Any] | None = None
    """``dataset`` (one, or a list to join); ``train``, ``val``, ``test`` as fractions or numbers of frames; and ``by``:
    ``random``, ``composition``, ``group:KEY`` or ``block:N``."""

    train_dataset: Any = None
    """A data set, or a list to join."""

    val_dataset: Any = None
    """A data set, or a list with a data set (or a list to join) for each validation set."""

    test_dataset: Any = None
    """The same for test sets."""

    def is_source(self, given: Any) -> bool:
        """Whether an entry is a data set."""
        return isinstance(given, FrameSource)


class FrameDataModule(SourceDataModule, options=FrameDataOptions):
    """Labelled frames from data sets: ``ASEDataset``, ``NPZDataset``, ``HDF5Dataset``, ``LMDBDataset``."""

    options: FrameDataOptions

    def paths(self, sources: list[FrameSource]) -> list[str]:
        """Files of the data sets."""
        return [path for source in sources for path in source.paths()]

    def read(self, sources: list[FrameSource]) -> FrameCollection:
        """Frames of the data sets of one set; those that do not stay in memory are read on each access."""
        source = joined(sources)
        contract, mask_nan, unconverged = (self.label_contract, self.options.mask_nan_labels, self.options.unconverged)
        every = ((source.place(index), source.atoms(index)) for index in range(len(source)))
        found = collect_frames(
            every,
            contract,
            mask_nan=mask_nan,
            keep=source.in_memory,
            unconverged=unconverged,
            group_key=self.options.split_rule.key or None,
        )
        if not source.in_memory:
            kept = set(found.places)
            indices = [index for index in range(len(source)) if source.place(index) in kept]
            found.frames = LazyFrames(_Reader(source, contract, mask_nan=mask_nan), indices)
        return found


class _Reader:
    """Reads one frame of a data set; picklable, for the processes of a loader."""

    def __init__(self, source: FrameSource, contract: LabelContract, *, mask_nan: bool) -> None:
        self.source, self.contract, self.mask_nan = source, contract, mask_nan

    def __call__(self, index: int) -> Graph:
        where = self.source.place(index)
        return frame_from_atoms(self.source.atoms(index), self.contract, where, mask_nan=self.mask_nan)[0]
