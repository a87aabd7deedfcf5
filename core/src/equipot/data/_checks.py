"""Checks of all data together: labels, batch sizes, elements."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import torch

from equipot.data._census import Census
from equipot.data._dataset import FrameDataset
from equipot.data._splits import PARTS
from equipot.data.options import LoaderOptions
from equipot.data.transforms import Transform, mapper_among
from equipot.errors import ConfigError, DataError, problem


def check_labels(
    census: Census, wanted: Collection[str], files: Sequence[str], used: Collection[str] | None = None
) -> None:
    """Raise a DataError if ``used`` labels (None: all) are NaN or inf, or ``wanted`` labels are in no frame."""
    problems = census.non_finite_problems(label for label in census.contract if used is None or label in used)
    for label, source in census.contract.items():
        found = any(row.sources or row.ignored or row.non_finite for row in census.rows(label))
        if label in wanted and not found:
            what = f"no frame of {', '.join(files)} has the key {source.key!r}"
            problems.append(problem(f"data.labels.{label}", what, hint=census.key_hint(label, *census.sets)))
    if problems:
        raise DataError("\n".join(problems))


def check_batch_sizes(sets: Mapping[str, FrameDataset], loaders: Mapping[str, LoaderOptions]) -> None:
    """Raise a ConfigError if a batch is larger than the train set; to evaluate, one smaller batch is as good."""
    size = loaders[PARTS[0]].batch_size
    largest = max((len(one) for name, one in sets.items() if name.startswith(PARTS[0])), default=None)
    if size is not None and largest is not None and size > largest:
        what = f"is larger than the train set of {largest} frames"
        raise ConfigError(problem("data.train_dataloader.batch_size", what, got=size, hint="make it smaller"))


def check_elements(sets: Mapping[str, FrameDataset], transforms: Sequence[Transform]) -> None:
    """Raise a DataError that names all elements without a type and the first frame that has each of them."""
    if (mapper := mapper_among(transforms)) is None:
        return
    from ase.data import chemical_symbols

    first: dict[str, str] = {}
    for one in sets.values():
        places = one.elements()
        found = {"atomic_numbers": torch.tensor(list(places), dtype=torch.int64)}
        by_symbol = {chemical_symbols[number]: place for number, place in places.items()}
        for symbol in mapper.unsupported(found):
            first.setdefault(symbol, by_symbol[symbol])
    if first:
        shown = ", ".join(f"{symbol} (first in {place})" for symbol, place in first.items())
        what = f"the data contain elements without a type: {shown}"
        raise DataError(problem("model.type_names", what, hint=f"supported: {mapper.supported}"))
