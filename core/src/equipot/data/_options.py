"""Options of the data section that are mappings, checked before anything is read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from equipot.data._splits import PARTS, check_split
from equipot.errors import ConfigError, did_you_mean, problem
from equipot.options import Options
from equipot.validation import check_options

_TORCH_LOADER = "torch.utils.data.DataLoader"


@dataclass(frozen=True, kw_only=True)
class LoaderOptions(Options):
    """Options of one loader; exactly one of batch_size, max_atoms and max_edges decides on batches."""

    batch_size: int | None = None
    """Frames in a batch."""

    max_atoms: int | None = None
    """Atoms in a batch, at most."""

    max_edges: int | None = None
    """Edges in a batch, at most."""

    shuffle: bool | None = None
    """Random order; by default for the train set only."""

    num_workers: int = 0
    """Processes that prepare batches; 0: the main one."""

    pin_memory: bool = False
    """Put batches in pinned memory, for copies to a GPU."""

    persistent_workers: bool = False
    """Keep the workers between epochs."""

    prefetch_factor: int | None = None
    """Batches that each worker prepares in advance."""

    def problems(self) -> list[str]:
        """Problems between options and of ranges."""
        found = [
            problem(name, "must be greater than 0", got=value)
            for name, value in (
                ("batch_size", self.batch_size),
                ("max_atoms", self.max_atoms),
                ("max_edges", self.max_edges),
            )
            if value is not None and value < 1
        ]
        given = [name for name in ("batch_size", "max_atoms", "max_edges") if getattr(self, name) is not None]
        if len(given) > 1:
            found.append(problem(given[1], f"cannot be given together with {given[0]}", hint="choose one"))
        if self.num_workers < 0:
            found.append(problem("num_workers", "must be at least 0", got=self.num_workers))
        if not self.num_workers:
            found += [
                problem(name, "needs num_workers of at least 1", got=getattr(self, name))
                for name in ("persistent_workers", "prefetch_factor")
                if getattr(self, name)
            ]
        return found

    def torch_options(self) -> dict[str, Any]:
        """Arguments that go to torch's DataLoader unchanged."""
        names = ("num_workers", "pin_memory", "persistent_workers", "prefetch_factor")
        return {name: getattr(self, name) for name in names}


def loader_options(given: Mapping[str, Any] | None, where: str, problems: list[str]) -> LoaderOptions:
    """The options of one loader; problems are appended to the list."""
    values = dict(given or {})
    if values.get("_target_") == _TORCH_LOADER:
        del values["_target_"]
    checked, found = check_options(LoaderOptions, values, where)
    if not found:
        try:
            return LoaderOptions(**checked)
        except ConfigError as error:
            found = [f"{where}.{text.removeprefix('LoaderOptions.')}" for text in error.problems]
    problems.extend(found)
    return LoaderOptions()


def file_groups(given: str | list[Any] | None, where: str, problems: list[str], *, one_set: bool) -> list[list[str]]:
    """Files by set: for the train set all files are one set, else each entry is a set of its own.

    Args:
        given: A path, a list of paths, or (for several sets) a list of lists of paths.
        where: Dotted path that messages start with.
        problems: Messages are appended here.
        one_set: Whether all files make up one set.
    """
    entries = [] if given is None else given if isinstance(given, list) else [given]
    groups = [entry if isinstance(entry, list) and not one_set else [entry] for entry in entries]
    for group in groups:
        problems.extend(
            problem(where, "must be a path or a list of paths", got=path)
            for path in group
            if not isinstance(path, str) or not path
        )
    if isinstance(given, list) and not given:
        problems.append(problem(where, "is an empty list", hint="leave it out"))
    return [[path for group in groups for path in group]] if one_set and groups else groups


@dataclass(frozen=True)
class SplitDataset:
    """One ``split_dataset``: files and the wished parts."""

    files: list[str]
    sizes: dict[str, float]


def split_options(given: Mapping[str, Any] | None, where: str, problems: list[str]) -> SplitDataset | None:
    """The checked ``split_dataset``; problems are appended to the list."""
    if given is None:
        return None
    allowed = ("file_path", "train", "val", "test")
    found = [
        problem(f"{where}.{key}", "unknown option", hint=did_you_mean(key, allowed) or f"options: {', '.join(allowed)}")
        for key in given
        if key not in allowed
    ]
    if "file_path" not in given:
        found.append(problem(f"{where}.file_path", "required option is missing"))
    files = file_groups(given.get("file_path"), f"{where}.file_path", found, one_set=True)
    sizes = {part: given[part] for part in allowed[1:] if part in given}
    if not sizes:
        found.append(problem(where, "names no part", hint="give train, val, test as fractions or numbers of frames"))
    found.extend(check_split(sizes, where))
    problems.extend(found)
    return SplitDataset(files[0] if files else [], sizes)


@dataclass(frozen=True)
class DataFiles:
    """All files of a data section."""

    groups: dict[str, list[list[str]]]
    """Files by ``train``, ``val``, ``test``, and in each by set."""

    split: SplitDataset | None

    def paths(self) -> list[str]:
        """Each file once."""
        own = [path for groups in self.groups.values() for group in groups for path in group]
        return list(dict.fromkeys(own + (self.split.files if self.split is not None else [])))


def data_files(given: Mapping[str, Any], split_dataset: Mapping[str, Any] | None, problems: list[str]) -> DataFiles:
    """The checked files; problems are appended to the list.

    Args:
        given: ``train``, ``val`` and ``test`` to a path or lists of paths.
        split_dataset: Files and parts, or None.
        problems: Messages are appended here.
    """
    groups = {
        part: file_groups(paths, f"data.{part}_file_path", problems, one_set=part == PARTS[0])
        for part, paths in given.items()
    }
    split = split_options(split_dataset, "data.split_dataset", problems)
    if split is not None and groups[PARTS[0]] and PARTS[0] in split.sizes:
        where = f"data.split_dataset.{PARTS[0]}"
        problems.append(problem(where, "there is a train_file_path already", hint="give one of them"))
    if split is None and split_dataset is None and not any(groups.values()):
        hint = "give split_dataset or train_file_path, val_file_path, test_file_path"
        problems.append(problem("data", "names no files", hint=hint))
    return DataFiles(groups, split)
