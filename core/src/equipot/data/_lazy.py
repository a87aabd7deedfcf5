"""Frames that are read again on each access, for sets larger than memory."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from typing import overload

from equipot.graph import Graph


class LazyFrames(Sequence[Graph]):
    """A sequence of frames, each made when it is accessed.

    Args:
        make: Gives the frame of an index. Loaders may call it in other processes, so it must be picklable.
        indices: Indices of the frames, in order.
    """

    def __init__(self, make: Callable[[int], Graph], indices: Sequence[int]) -> None:
        self._make = make
        self._indices = indices

    def __len__(self) -> int:
        return len(self._indices)

    @overload
    def __getitem__(self, index: int) -> Graph: ...

    @overload
    def __getitem__(self, index: slice) -> LazyFrames: ...

    def __getitem__(self, index: int | slice) -> Graph | LazyFrames:
        """One frame, or lazy frames for a slice."""
        if isinstance(index, slice):
            return LazyFrames(self._make, self._indices[index])
        return self._make(self._indices[index])

    def __iter__(self) -> Iterator[Graph]:
        return (self._make(index) for index in self._indices)

    def subset(self, indices: Sequence[int]) -> LazyFrames:
        """Some of the frames, in the given order."""
        return LazyFrames(self._make, [self._indices[index] for index in indices])

    def map(self, function: Callable[[Graph], Graph]) -> LazyFrames:
        """The same frames with a picklable function applied to each."""
        return LazyFrames(functools.partial(_chained, self._make, function), self._indices)


def _chained(make: Callable[[int], Graph], function: Callable[[Graph], Graph], index: int) -> Graph:
    return function(make(index))
