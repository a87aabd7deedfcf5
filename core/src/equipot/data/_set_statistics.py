"""Statistics of a set, read from the cache where everything that they depend on is the same."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import torch

from equipot.data._dataset import FrameDataset
from equipot.data._statistic_entries import StatisticValue
from equipot.data._statistics_cache import cached_statistics, code_of
from equipot.data._stats_managers import StatsManager
from equipot.data.transforms import Transform, mapper_among


def set_statistics(
    dataset: FrameDataset,
    transforms: Sequence[Transform],
    manager: StatsManager,
    names: Collection[str] | None,
    *,
    cache_dir: Path | None,
    workers: int,
) -> dict[str, StatisticValue]:
    """Statistics of a set, from the cache if data, model and manager are the same.

    Args:
        dataset: The set, whose frames have types and edges.
        transforms: From which it has them.
        manager: Computes.
        names: What to compute; None for everything that the data allow.
        cache_dir: Where values are kept for the next run, None for nowhere.
        workers: Processes that count neighbours.
    """
    mapper = mapper_among(transforms)
    types = manager.resolve_type_names(None if mapper is None else mapper.model_type_names)
    manager.check_names(names or ())
    key = {
        "frames": dataset.content_hash(),
        "types": list(types),
        "manager": manager.config(),
        "transforms": [_fingerprint(one) for one in transforms],
        "requested": None if names is None else sorted(names),
        "isolated": [index for index, isolated in enumerate(dataset.isolated_atoms()) if isolated],
        "code": code_of(manager, *transforms),
    }

    def compute() -> dict[str, StatisticValue]:
        frames, isolated = dataset.for_statistics(manager.fields_read(names, types), workers)
        if names is None:
            return manager.compute_possible(frames, types, isolated=isolated)
        return manager.compute(frames, types, names, isolated=isolated)

    return cached_statistics(cache_dir, key, compute)


def _fingerprint(transform: Transform) -> list[Any]:
    """Class and options (of other than dataclasses, attributes) of a transform, in plain containers for the cache."""
    names = {one.name for one in dataclasses.fields(transform)} if dataclasses.is_dataclass(transform) else None
    options = {name: value for name, value in sorted(vars(transform).items()) if names is None or name in names}
    plain = {name: value.tolist() if isinstance(value, torch.Tensor) else value for name, value in options.items()}
    return [f"{type(transform).__module__}.{type(transform).__qualname__}", repr(plain)]
