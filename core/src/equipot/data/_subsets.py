"""What a split goes by, and subsets of a train set of which smaller ones are parts of larger ones."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from typing import TYPE_CHECKING

from equipot.data._splits import Nested, SplitRule, nested
from equipot.errors import ConfigError, DataError, problem

if TYPE_CHECKING:
    from equipot.data._collection import FrameCollection


def nested_frames(train: FrameCollection, isolated: Sequence[int], rule: SplitRule, seed: int) -> Nested:
    """Indices of all frames but isolated atoms, of which every beginning is a subset.

    Args:
        train: Frames of a train set.
        isolated: Indices of isolated atoms.
        rule: Of the split that gave the set; with ``composition``, compositions are spread evenly here, too.
        seed: Of the random order.
    """
    pool = others(train, isolated)
    labels = split_labels(train, pool, rule) if rule.kind == "composition" else []
    found = nested(elements_of(train, pool), seed, labels=labels)
    return Nested([pool[index] for index in found.order], found.smallest)


def first_frames(found: Nested, number: int) -> list[int]:
    """The first frames of an order.

    Raises:
        ConfigError: If they would not have all elements, or there are fewer.
    """
    if not found.smallest <= number <= len(found.order):
        what = f"the train set has {len(found.order)} frames, the first {found.smallest} of which have all elements"
        raise ConfigError(problem("data.train_subset.frames", what, got=number))
    return found.order[:number]


def others(whole: FrameCollection, apart: Iterable[int]) -> list[int]:
    """Indices of all other frames."""
    left_out = set(apart)
    return [index for index in range(len(whole.places)) if index not in left_out]


def elements_of(whole: FrameCollection, pool: Sequence[int]) -> list[tuple[int, ...]]:
    """Atomic numbers that occur in each frame of the pool."""
    return [tuple(number for number, _ in whole.composition(index)) for index in pool]


def split_labels(whole: FrameCollection, pool: Sequence[int], rule: SplitRule) -> list[Hashable]:
    """What a rule goes by, for each frame of the pool."""
    if rule.kind == "composition":
        groups = whole.groups or [""] * len(whole.places)
        return [(whole.composition(index), groups[index]) for index in pool]
    if rule.kind == "block":
        return [_block(whole.places[index], index, rule.length) for index in pool]
    if rule.kind == "group":
        keys = whole.split_keys or [""] * len(whole.places)
        if without := [whole.places[index] for index in pool if not keys[index]]:
            what = f"{len(without)} of {len(pool)} frames have no {rule.key!r} in info, the first is {without[0]}"
            hint = "every frame needs it; block:N keeps consecutive frames together"
            raise DataError(problem("data.split_dataset.by", what, hint=hint))
        return [keys[index] for index in pool]
    return []


def _block(place: str, index: int, length: int) -> tuple[str, int]:
    """File and number of the block of a frame; blocks do not reach from one file into the next."""
    file, _, number = place.rpartition(", frame ")
    return file, (int(number) if number.isdecimal() else index) // length
