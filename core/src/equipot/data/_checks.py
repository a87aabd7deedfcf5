"""Checks of all data together: labels, batch sizes, elements."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

import torch

from equipot.commands import option
from equipot.data._census import Census
from equipot.data._collection import FrameCollection
from equipot.data._dataset import FrameDataset
from equipot.data._label_contract import LabelContract
from equipot.data._splits import PARTS
from equipot.data.options import LoaderOptions
from equipot.data.transforms import Transform, mapper_among
from equipot.errors import ConfigError, DataError, problem


def check_labels(
    census: Census, wanted: Collection[str], files: Sequence[str], used: Collection[str] | None = None
) -> None:
    """Raise a DataError if ``used`` labels (None: all) are NaN or inf, or ``wanted`` labels are in no frame."""
    problems = census.non_finite_problems(label for label in census.contract if used is None or label in used)
    absent = [label for label in census.contract if label in wanted and not census.has(label)]
    for label in absent:
        what = f"no frame of {', '.join(files)} has the key {census.contract[label].key!r}"
        hint = census.key_hint(*census.sets, wanted=absent) if label == absent[-1] else ""  # one line for all labels
        problems.append(problem(f"data.labels.{label}", what, hint=hint))
    if problems:
        raise DataError("\n".join(problems))


def check_weights(collections: Iterable[FrameCollection], contract: LabelContract, files: Sequence[str]) -> None:
    """Raise a DataError for each key of weights that no frame has."""
    reports = [one for collection in collections for one in collection.reports]
    named = dict.fromkeys(key for source in contract.values() for key in source.weights)
    found = {key for report in reports for one in report.values() for key in one.weight_keys}
    problems = [
        problem(option("data.weights"), f"no frame of {', '.join(files)} that has the labels has the key {key!r}")
        for key in named
        if key not in found
    ]
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
        ghosts = "X marks ghost atoms: remove them, or say what they are with data.species; " if "X" in first else ""
        raise DataError(problem("model.type_names", what, hint=f"{ghosts}supported: {mapper.supported}"))
