"""Split one set of frames into train, validation and test sets, reproducibly.

Whatever the rule, every element of the split frames is in the train set wherever that is possible: a model can neither
be built nor judged for an element that it has never seen.
"""

from __future__ import annotations

import itertools
import logging
import math
from collections import Counter
from collections.abc import Collection, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import torch

from equipot.errors import ConfigError, problem, unknown

logger = logging.getLogger(__name__)

PARTS = ("train", "val", "test")
TRAIN = PARTS[0]

RANDOM = "random"


@dataclass(frozen=True)
class SplitRule:
    """What decides which frames go together or are spread evenly."""

    kind: Literal["random", "composition", "group", "block"] = "random"
    key: str = ""
    """Key of the groups."""
    length: int = 0
    """Frames of a block."""


def split_rule(by: object, where: str = "data.split_dataset.by") -> SplitRule:
    """The rule that a config names: ``random``, ``composition``, ``group:KEY`` or ``block:N``.

    Raises:
        ConfigError: If there is no such rule.
    """
    hint = "write random, composition, group:KEY (a key of info) or block:N (a number of frames)"
    kind, separator, value = str(by).partition(":")
    if isinstance(by, str) and not separator and kind in (RANDOM, "composition"):
        return SplitRule("random" if kind == RANDOM else "composition")
    if isinstance(by, str) and kind == "group" and value.strip():
        return SplitRule("group", key=value.strip())
    if isinstance(by, str) and kind == "block" and value.strip().isdecimal() and int(value[:10]) > 0:
        return SplitRule("block", length=int(value[:10]))
    raise ConfigError(problem(where, "is not a rule for a split", got=by, hint=hint))


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


def part_sizes(
    num_frames: int, sizes: Mapping[str, float], where: str = "data.split_dataset", *, isolated: int = 0
) -> dict[str, int]:
    """Number of frames of each part.

    Sizes are fractions (float, rounded down) or numbers of frames (int). If all are fractions and sum to 1,
    the frames left over by rounding go to the parts in turn, so that every frame is used.

    Args:
        num_frames: How many frames are split.
        sizes: Fraction or number of frames of each part.
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
    return counts


def split_indices(
    num_frames: int,
    sizes: Mapping[str, float],
    seed: int,
    where: str = "data.split_dataset",
    *,
    isolated: int = 0,
) -> dict[str, list[int]]:
    """Random, disjoint frame indices by part; the same seed gives the same split.

    Args:
        num_frames: How many frames are split.
        sizes: Fraction or number of frames of each part, as for ``part_sizes``.
        seed: Of the random order.
        where: Dotted path in the config, for messages.
        isolated: Further frames, which are not split because they hold isolated atoms; for messages.

    Raises:
        ConfigError: If a part is empty or the parts are larger than the set.
    """
    counts = part_sizes(num_frames, sizes, where, isolated=isolated)
    return _cut(torch.randperm(num_frames, generator=_generator(seed)).tolist(), counts)


@dataclass
class Split:
    """Indices of the frames of each part, and what the elements made of it."""

    parts: dict[str, list[int]]
    exchanged: int = 0
    """Frames (or groups) that changed places, so that the train set has all elements."""
    missing: list[int] = field(default_factory=list)
    """Atomic numbers that the train set lacks nevertheless, because it is too small."""


def split_frames(
    elements: Sequence[Collection[int]],
    sizes: Mapping[str, float],
    seed: int,
    *,
    rule: SplitRule | None = None,
    labels: Sequence[Hashable] = (),
    isolated: int = 0,
) -> Split:
    """Split frames by a rule, with all elements in the train set.

    Args:
        elements: Atomic numbers that occur in each frame.
        sizes: As for ``part_sizes``; with groups and blocks they are met as nearly as possible.
        seed: Of the random order.
        rule: By default the frames are split as by ``split_indices``, unless an element would be missing.
        labels: For each frame, what is spread evenly (``composition``) or kept together (``group``, ``block``).
        isolated: Number of isolated atoms besides, for messages.

    Raises:
        ConfigError: If a part is empty or the parts are larger than the set.
    """
    kind = (rule or SplitRule()).kind
    if kind in ("group", "block"):
        counts = part_sizes(len(elements), sizes, isolated=isolated)
        return _split_groups(labels, elements, counts, seed)
    if kind == "composition":
        counts = part_sizes(len(elements), sizes, isolated=isolated)
        parts = _cut(_spread_evenly(labels, seed), counts)
    else:
        parts = split_indices(len(elements), sizes, seed, isolated=isolated)
    split = Split(parts)
    if TRAIN in parts:
        _keep_elements(split, elements)
    return split


@dataclass(frozen=True)
class Nested:
    """Frames in an order of which every beginning is a subset to learn from."""

    order: list[int]
    """Indices of the frames."""
    smallest: int
    """Number of first frames that have all elements."""


def nested(elements: Sequence[Collection[int]], seed: int, *, labels: Sequence[Hashable] = ()) -> Nested:
    """Put frames in a random order of which short beginnings have all elements, too.

    First come frames that bring elements, those with most of them before others, then all the rest.

    Args:
        elements: Atomic numbers that occur in each frame.
        seed: Of the random order.
        labels: For each frame, what is spread evenly; by default all frames are alike.
    """
    order = _spread_evenly(labels or [""] * len(elements), seed)
    sets = [frozenset(one) for one in elements]
    missing = set().union(*sets)
    first: list[int] = []
    while missing:
        best = max(order, key=lambda index: len(sets[index] & missing))
        first.append(best)
        missing -= sets[best]
    taken = set(first)
    return Nested([*first, *(index for index in order if index not in taken)], len(first))


def _generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def _cut(order: Sequence[int], counts: Mapping[str, int]) -> dict[str, list[int]]:
    remaining = iter(order)
    return {part: list(itertools.islice(remaining, count)) for part, count in counts.items()}


# ------------------------------------------------------------------------------ elements


def _keep_elements(split: Split, elements: Sequence[Collection[int]]) -> None:
    """Exchange frames so that the train set has all elements; the sizes stay, and so do the frames if it has them."""
    train = split.parts[TRAIN]
    used = {index for part in split.parts.values() for index in part}
    unused = [index for index in range(len(elements)) if index not in used]
    others = [unused, *(part for name, part in split.parts.items() if name != TRAIN)]
    held = Counter(element for index in train for element in elements[index])
    frequency = Counter(element for frame in elements for element in frame)
    for element in sorted(set(frequency) - set(held), key=lambda one: (frequency[one], one)):
        if held[element]:
            continue  # came with an earlier one
        if (place := _dispensable(train, elements, held)) is None:
            split.missing.append(element)
            continue
        source, position = _richest(others, elements, held, element)
        held.subtract(elements[train[place]])
        train[place], source[position] = source[position], train[place]
        held.update(elements[train[place]])
        split.exchanged += 1


def _dispensable(train: Sequence[int], elements: Sequence[Collection[int]], held: Mapping[int, int]) -> int | None:
    """Place of the last frame of the train set without which it keeps all of its elements."""
    places = reversed(range(len(train)))
    return next((place for place in places if all(held[one] > 1 for one in elements[train[place]])), None)


def _richest(
    others: Sequence[list[int]], elements: Sequence[Collection[int]], held: Mapping[int, int], element: int
) -> tuple[list[int], int]:
    """Where the frame with the element is that has most of the missing elements; of several, the first."""
    found = [(part, place) for part in others for place in range(len(part)) if element in elements[part[place]]]
    return max(found, key=lambda one: sum(held.get(item, 0) == 0 for item in elements[one[0][one[1]]]))


# ------------------------------------------------------------------------------ strata


def _spread_evenly(labels: Sequence[Hashable], seed: int) -> list[int]:
    """An order in which any stretch has each label in proportion.

    The frames of a label get equidistant places between 0 and 1 in random order, from a random start; cut at 0.8, the
    first part has 80 % of each label, to within one frame.
    """
    generator = _generator(seed)
    members = _members(labels)
    places = torch.zeros(len(labels), dtype=torch.float64)
    for indices in members.values():
        start = torch.rand(1, generator=generator, dtype=torch.float64)
        order = torch.randperm(len(indices), generator=generator).to(torch.float64)
        places[indices] = (order + start) / len(indices)
    return torch.argsort(places, stable=True).tolist()


def _members(labels: Sequence[Hashable]) -> dict[Hashable, list[int]]:
    members: dict[Hashable, list[int]] = {}
    for index, label in enumerate(labels):
        members.setdefault(label, []).append(index)
    return members


# ------------------------------------------------------------------------------ groups


_UNUSED = ""


def _split_groups(
    labels: Sequence[Hashable], elements: Sequence[Collection[int]], counts: Mapping[str, int], seed: int
) -> Split:
    """Give whole groups, in random order, to the parts that lack most of the frames that they should have."""
    members = list(_members(labels).values())
    wanted = {**counts, _UNUSED: len(labels) - sum(counts.values())}
    left = dict(wanted)
    taken: dict[str, list[int]] = {part: [] for part in wanted}
    for group in torch.randperm(len(members), generator=_generator(seed)).tolist():
        part = _neediest(left, wanted, len(members[group]))
        left[part] -= len(members[group])
        taken[part].append(group)
    if empty := [part for part in counts if not taken[part]]:
        what = f"{len(members)} groups are too few or too different in size for {', '.join(empty)} to get one"
        raise ConfigError(problem("data.split_dataset", what, hint="split at random, or into smaller groups"))
    split = Split({})
    if TRAIN in counts:
        _keep_elements_of_groups(split, taken, members, elements)
    split.parts = {part: [index for group in taken[part] for index in members[group]] for part in counts}
    return split


def _neediest(left: Mapping[str, int], wanted: Mapping[str, int], size: int) -> str:
    """The part to which a group goes: one where it fits, else the one that lacks most frames."""
    fitting = [part for part in left if left[part] >= size]
    if fitting:
        return max(fitting, key=lambda part: left[part] / wanted[part])
    return max(left, key=lambda part: left[part])


def _keep_elements_of_groups(
    split: Split, taken: dict[str, list[int]], members: Sequence[list[int]], elements: Sequence[Collection[int]]
) -> None:
    """Move the smallest groups with missing elements to the train set; others keep at least one group."""

    def held(groups: Sequence[int]) -> Iterator[int]:
        return (element for group in groups for index in members[group] for element in elements[index])

    for element in sorted(set(held(range(len(members)))) - set(held(taken[TRAIN]))):
        if element in set(held(taken[TRAIN])):
            continue
        found = [
            (len(members[group]), group, part)
            for part, groups in taken.items()
            if part != TRAIN and (len(groups) > 1 or part == _UNUSED)
            for group in groups
            if element in set(held([group]))
        ]
        if not found:
            split.missing.append(element)
            continue
        _, group, part = min(found)
        taken[part].remove(group)
        taken[TRAIN].append(group)
        split.exchanged += 1


def say_of_elements(split: Split) -> None:
    """Say which frames were exchanged for the elements, and which elements the train set lacks.

    Args:
        split: Of a set.
    """
    from ase.data import chemical_symbols

    if split.exchanged:
        logger.info("%d frames (or groups) changed places, so that train has all elements", split.exchanged)
    if split.missing:
        symbols = ", ".join(chemical_symbols[number] for number in split.missing)
        logger.warning("train is too small to have all elements, it lacks %s; make it larger", symbols)
