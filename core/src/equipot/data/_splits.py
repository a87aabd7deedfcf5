"""Split one set of frames into train, validation and test sets, reproducibly."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch

from equipot.errors import ConfigError, problem, unknown

PARTS = ("train", "val", "test")


def check_split(sizes: Mapping[str, float], where: str = "data.split_dataset") -> list[str]:
    """Problems of the wished sizes that show before the data are read.

    Args:
        sizes: Fraction (float, at most 1.0) or number of frames (int) of each part.
        where: Dotted path that messages start with.
    """
    problems = []
    for part, size in sizes.items():
        place = f"{where}.{part}"
        if part not in PARTS:
            problems.append(unknown(place, part, PARTS, "part"))
        elif isinstance(size, bool) or not isinstance(size, (int, float)):
            problems.append(problem(place, "must be a fraction or a number of frames", got=size))
        elif size <= 0:
            hint = "leave the part out if it is not wanted"
            problems.append(problem(place, "must be greater than 0", got=size, hint=hint))
        elif isinstance(size, float) and not size <= 1.0:
            hint = "give a number of frames as an integer"
            problems.append(problem(place, "a fraction is at most 1.0", got=size, hint=hint))
    total = sum(size for size in sizes.values() if isinstance(size, float))
    if not problems and total > 1.0 + 1e-9:
        problems.append(problem(where, f"the fractions sum to {total:.6g}, more than 1", got=dict(sizes)))
    return problems


def split_indices(
    num_frames: int, sizes: Mapping[str, float], seed: int, where: str = "data.split_dataset"
) -> dict[str, list[int]]:
    """Random, disjoint frame indices for each part.

    Fractions are rounded down; when fractions alone sum to 1, the frames left over by rounding go to
    the parts in turn, so that every frame is used.

    Args:
        num_frames: Frames to split.
        sizes: Fraction (float) or number of frames (int) of each part.
        seed: The same seed gives the same split.
        where: Dotted path that messages start with.

    Returns:
        Indices by part, in random order.

    Raises:
        ConfigError: If a part is empty or the parts are larger than the set.
    """
    problems = check_split(sizes, where)
    if problems:
        raise ConfigError(problems)
    wished = {part: sizes[part] for part in PARTS if part in sizes}
    counts = {
        part: size if isinstance(size, int) else math.floor(size * num_frames + 1e-9) for part, size in wished.items()
    }
    if all(isinstance(size, float) for size in sizes.values()) and abs(sum(sizes.values()) - 1.0) < 1e-9:
        for part in list(counts)[: num_frames - sum(counts.values())]:
            counts[part] += 1
    for part, count in counts.items():
        if count == 0:
            what = f"gives an empty set out of {num_frames} frames"
            problems.append(problem(f"{where}.{part}", what, got=sizes[part]))
    if sum(counts.values()) > num_frames:
        what = f"wants {sum(counts.values())} frames, the files have {num_frames}"
        problems.append(problem(where, what, got=dict(sizes)))
    if problems:
        raise ConfigError(problems)
    order = torch.randperm(num_frames, generator=torch.Generator().manual_seed(seed)).tolist()
    parts, start = {}, 0
    for part, count in counts.items():
        parts[part] = order[start : start + count]
        start += count
    return parts
