"""Data sections that read files with ASE."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from equipot.data._collection import FrameCollection, collect_frames
from equipot.data._readers import read_placed
from equipot.data._sources import SourceDataModule
from equipot.data.options import SourceOptions


@dataclass(frozen=True, kw_only=True)
class ASEDataOptions(SourceOptions):
    """Options of ASEDataModule."""

    source: ClassVar[str] = "file_path"
    expected: ClassVar[str] = "a path or a list of paths"

    split_dataset: dict[str, Any] | None = None
    """``file_path`` (a path or a list) and ``train``, ``val``, ``test`` as fractions or numbers of frames. Frames with
    ``config_type=IsolatedAtom`` always go to train."""

    train_file_path: str | list[str] | None = None
    """File or files of the train set."""

    val_file_path: str | list[Any] | None = None
    """File of the validation set, or a list with a file (or a list of files) for each validation set."""

    test_file_path: str | list[Any] | None = None
    """The same for test sets."""

    ase_args: dict[str, Any] | None = None
    """Arguments of ``ase.io.iread``, e.g. ``{format: extxyz}``."""

    def is_source(self, given: Any) -> bool:
        """Whether an entry is a path."""
        return isinstance(given, str) and given != ""


class ASEDataModule(SourceDataModule, options=ASEDataOptions):
    """Labelled frames from files that ASE reads."""

    options: ASEDataOptions

    @property
    def split_source(self) -> Any:
        """The file or files that are split, as the user gave them."""
        return (self.options.split_dataset or {}).get("file_path")

    def paths(self, sources: list[str]) -> list[str]:
        """The files themselves."""
        return sources

    def read(self, sources: list[str]) -> FrameCollection:
        """Frames of the files of one set."""
        placed = read_placed(sources, self.options.ase_args)
        return collect_frames(placed, self.label_contract, mask_nan=self.options.mask_nan_labels)
