"""Checks of the data as a whole: labels, batch sizes, elements."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING

from equipot.data._frames import suggest_keys
from equipot.data.transforms import ChemicalSpeciesToAtomTypeMapper, Transform
from equipot.errors import ConfigError, DataError, problem

if TYPE_CHECKING:
    from equipot.data._census import Census
    from equipot.data._dataset import FrameDataset
    from equipot.data._options import LoaderOptions


def check_labels(
    census: Census, wanted: Collection[str], files: Sequence[str], used: Collection[str] | None = None
) -> None:
    """Refuse labels that are NaN or inf somewhere, and wanted ones that are nowhere.

    Args:
        census: Of all sets.
        wanted: Labels that must be in at least one frame.
        files: Where they were looked for.
        used: Labels that must be finite; None: all.

    Raises:
        DataError: With all problems, and keys that look like the missing labels.
    """
    problems = census.non_finite_problems(label for label in census.contract if used is None or label in used)
    found = {key for one in census.sets.values() for key in one.keys}
    for label, source in census.contract.items():
        rows = [one.labels[label] for one in census.sets.values() if label in one.labels]
        if label in wanted and not any(row.sources or row.ignored or row.non_finite for row in rows):
            problems.append(_nowhere(label, source.key, found, files))
    if problems:
        raise DataError("\n".join(problems))


def _nowhere(label: str, key: str, found: Collection[str], files: Sequence[str]) -> str:
    candidates = [one for one in suggest_keys(label, found) if one != key]
    names = ", ".join(sorted(one.split(":", 1)[1] for one in found)) or "none"
    hint = f"write labels: {{{label}: {candidates[0]}}}; keys found: {names}" if candidates else f"keys found: {names}"
    return problem(f"data.labels.{label}", f"no frame of {', '.join(files)} has the key {key!r}", hint=hint)


def check_batch_sizes(sets: Mapping[str, FrameDataset], loaders: Mapping[str, LoaderOptions]) -> None:
    """Refuse batches larger than the largest set they are for.

    Args:
        sets: ``train``, ``val0``, ...
        loaders: Options of ``train``, ``val`` and ``test``.

    Raises:
        ConfigError: With all problems.
    """
    problems = []
    for part, options in loaders.items():
        sizes = [len(one) for name, one in sets.items() if name.startswith(part)]
        if sizes and options.batch_size is not None and options.batch_size > max(sizes):
            what = f"is larger than the {part} set of {max(sizes)} frames"
            where = f"data.{part}_dataloader.batch_size"
            problems.append(problem(where, what, got=options.batch_size, hint="make it smaller"))
    if problems:
        raise ConfigError(problems)


def check_elements(sets: Mapping[str, FrameDataset], transforms: Sequence[Transform]) -> None:
    """Refuse elements without a type, all at once.

    Raises:
        DataError: With the first file and frame of each.
    """
    mapper = next((one for one in transforms if isinstance(one, ChemicalSpeciesToAtomTypeMapper)), None)
    if mapper is None:
        return
    first: dict[str, str] = {}
    for one in sets.values():
        for index in range(len(one)):
            for symbol in mapper.unsupported(one.raw(index)):
                first.setdefault(symbol, one.places[index])
    if first:
        shown = ", ".join(f"{symbol} (first in {place})" for symbol, place in first.items())
        what = f"the data contain elements without a type: {shown}"
        raise DataError(problem("model.type_names", what, hint=f"supported: {mapper.supported}"))
