"""Neighbours of all frames of a set counted block by block, in this process or in several.

Several processes only count; blocks are the same and come back in order, so that statistics do not depend on their
number. They are those of torch's loader: they end with it, and with the process that made them, however that ends.
"""

from __future__ import annotations

import contextlib
import math
import signal
from collections.abc import Generator, Iterator, Sequence

import torch
from torch.utils.data import DataLoader, Dataset

from equipot.data._neighbor_counts import count_neighbors
from equipot.data._packed import GEOMETRY, PackedFrames
from equipot.data.transforms import ModelEdges, Transform
from equipot.errors import DataError
from equipot.graph import Graph
from equipot.quantities import NEIGHBOR_COUNTS


class NeighborCounts(Dataset[torch.Tensor | str]):
    """The numbers of neighbours of each block of frames; a text says why a block has none.

    Args:
        frames: All frames.
        transforms: Give the types of atoms, and the edges that are counted.
        size: Frames in a block.
    """

    def __init__(self, frames: PackedFrames, transforms: Sequence[Transform], size: int) -> None:
        fields = {key: frames.fields[key] for key in GEOMETRY}
        self._frames, self._size = PackedFrames(fields, {}, frames.counts, frames.indices), size
        self._transforms = [one for one in transforms if not isinstance(one, ModelEdges)]
        self._edges = next((one for one in transforms if isinstance(one, ModelEdges)), None)

    def __len__(self) -> int:
        return math.ceil(len(self._frames) / self._size)

    def __getitem__(self, index: int) -> torch.Tensor | str:
        """The counts of a block, int64, shape [n_atoms of the block]."""
        block = self._frames[index * self._size : (index + 1) * self._size]
        batch = with_types(next(block.batches(self._size)), self._transforms)
        if self._edges is None:
            return "no edges are made"
        try:
            return count_neighbors(batch, self._edges)
        except DataError as error:
            return str(error)


def with_types(batch: Graph, transforms: Sequence[Transform]) -> Graph:
    """A batch with the results of all transforms but the neighbour list.

    Args:
        batch: Frames.
        transforms: Of the set.
    """
    for transform in transforms:
        batch = batch if isinstance(transform, ModelEdges) else transform(batch)
    return batch


def counted(batches: Iterator[Graph], counts: NeighborCounts, workers: int) -> Iterator[Graph]:
    """The batches with numbers of neighbours.

    Args:
        batches: The blocks of frames that ``counts`` has, in order.
        counts: Counts when it is asked.
        workers: Processes that count; 1: this one.

    Raises:
        DataError: As ``count_neighbors``.
    """
    blocks = _in_processes(counts, min(workers, len(counts))) if workers > 1 else _here(counts)
    with contextlib.closing(blocks):  # which ends the processes, also after an error
        for batch, found in zip(batches, blocks, strict=True):
            if isinstance(found, str):
                raise DataError(found)
            yield {**batch, NEIGHBOR_COUNTS: found}


def _here(counts: NeighborCounts) -> Generator[torch.Tensor | str, None, None]:
    yield from (counts[index] for index in range(len(counts)))


def _in_processes(counts: NeighborCounts, workers: int) -> Generator[torch.Tensor | str, None, None]:
    loader = DataLoader(counts, batch_size=None, num_workers=workers, worker_init_fn=_quiet)
    yield from loader


def _quiet(_number: int) -> None:
    """Leave the signals of a terminal to the process that waits for this one."""
    for name in ("SIGINT", "SIGHUP", "SIGUSR1"):
        with contextlib.suppress(AttributeError):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
