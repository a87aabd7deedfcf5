"""Values that no option expects."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, TypeVar

Place = TypeVar("Place")
Item = TypeVar("Item")

ODD: dict[str, Any] = {
    "null": None,
    "true": True,
    "a list": [],
    "a nested list": [[[1]]],
    "a mapping": {},
    "a text": "x",
    "empty": "",
    "minus one": -1,
    "zero": 0,
    "half": 0.5,
    "nan": float("nan"),
    "infinite": float("inf"),
    "minus infinite": float("-inf"),
    "huge": 10**30,
    "5000 digits": 10**4200,
    "long text": "x" * 100_000,
    "escapes": "\x1b[2Jgone\nnext\x07",
    "a statistic": "${training_data_stats:num_neighbors_mean}",
}
"""Values, by name."""

ODD_JSON: dict[str, Any] = {
    "null": None, "a list": [], "a mapping": {}, "a text": "x", "a number": 7, "half": 0.5, "true": True,
    "a list of lists": [[[]]], "a mapping of lists": {"a": []}, "escapes": "\x1b[31mred\n", "a long text": "x" * 200_000,
    "a huge number": 10**4000, "deep": None,
}  # fmt: skip
"""JSON values of every kind."""


def dealt(places: Iterable[Place], items: Sequence[Item], each: int) -> Iterator[tuple[Place, Item]]:
    """Some items for each place, dealt out like cards: all items are used, and no two places get the same hand."""
    step = max(1, len(items) // each)
    for number, place in enumerate(places):
        chosen = {(number + step * index) % len(items) for index in range(each)}
        yield from ((place, items[index]) for index in sorted(chosen))
