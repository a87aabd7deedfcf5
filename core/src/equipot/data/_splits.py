"""Split one set of frames into train, validation and test sets, reproducibly."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping

import torch

from equipot.errors import ConfigError, problem, unknown

PARTS = ("train", "val", "test")


def check_split(sizes: Mapping[str, float], where: str = "data.split_dataset") -> list[str]:
    """Problems of the sizes of a split that can be found before the data are read."""
    problems = []
    for part, size in sizes.items():
        place = f"{where}.{part}"
        if part not in PARTS:
            problems.append(unknown(place, part, PARTS, "part"))
        elif isinstance(size, bool) or not isinstance(size, (int, float)):
            problems.append(problem(place, "must be a fraction or a number of frames", got=size))
        elif size <= 0:
            hint = "leave the part out if you do not want it"
            problems.append(problem(place, "must be greater than 0", got=size, hint=hint))
        elif isinstance(size, float) and not size <= 1.0:
            hint = "give a number of frames as an integer"
            problems.append(problem(place, "a fraction is at most 1.0", got=size, hint=hint))
    total = sum(size for size in sizes.values() if isinstance(size, float))
    if not problems and total > 1.0 + 1e-9:
        problems.append(problem(where, f"the fractions sum to {total:.6g}, more than 1", got=dict(sizes)))
    return problems


def split_indices(
    num_frames: int,
    sizes: Mapping[str, float],
    seed: int,
    where: str = "data.split_dataset",
    *,
    isolated: int = 0,
) -> dict[str, list[int]]:
    """Random, disjoint frame indices by part; the same seed gives the same split.

    Sizes are fractions (float, rounded down) or numbers of frames (int). If all are fractions and sum to 1,
    the frames left over by rounding go to the parts in turn, so that every frame is used.

    Args:
        num_frames: How many frames are split.
        sizes: Fraction or number of frames of each part.
        seed: Of the random order.
        where: Dotted path in the config, for messages.
        isolated: Further frames, which are not split because they hold isolated atoms; for messages.

    Raises:
        ConfigError: If a part is empty or the parts are larger than the set.
    """
    problems = check_split(sizes, where)
    if problems:
        raise ConfigError(problems)
    counts = {}
    for part in PARTS:
        if (size := sizes.get(part)) is not None:
            counts[part] = size if isinstance(size, int) else math.floor(size * num_frames + 1e-9)
    if all(isinstance(size, float) for size in sizes.values()) and abs(sum(sizes.values()) - 1.0) < 1e-9:
        for part in list(counts)[: num_frames - sum(counts.values())]:
            counts[part] += 1
    besides = f" and {isolated} of isolated atoms, which are not split and go to train" if isolated else ""
    for part, count in counts.items():
        if count == 0:
            what = f"gives an empty set out of {num_frames} frames{besides}"
            problems.append(problem(f"{where}.{part}", what, got=sizes[part]))
    if sum(counts.values()) > num_frames:
        what = f"wants {sum(counts.values())} frames, the files have {num_frames}{besides}"
        problems.append(problem(where, what, got=dict(sizes)))
    if problems:
        raise ConfigError(problems)
    order = torch.randperm(num_frames, generator=torch.Generator().manual_seed(seed)).tolist()
    remaining = iter(order)
    return {part: list(itertools.islice(remaining, count)) for part, count in counts.items()}
