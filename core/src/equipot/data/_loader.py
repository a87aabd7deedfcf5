"""Batches: a training loader that resumes exactly where it stopped, and plain loaders for evaluation.

The order of an epoch depends only on (seed, epoch), and the state is (epoch, batch index), so that a
resumed run sees the same batches as an uninterrupted one, with any number of workers.
"""

from __future__ import annotations

import bisect
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch.utils.data import DataLoader, Dataset, Sampler

from equipot import _processes
from equipot.errors import ConfigError, DataError, problem
from equipot.fields import LABELS, mask_key
from equipot.graph import Graph, collate

_EPOCH_STRIDE = 7919
"""A prime, so that different pairs of seed and epoch use different random streams."""


class BatchOrder(Sampler[list[int]]):
    """Frame indices of the batches of each epoch.

    Args:
        num_frames: Size of the set.
        seed: Determines the order, together with the epoch.
        batch_size: Frames in a batch; the last one may be smaller. Not together with ``sizes``.
        sizes: Size of each frame (atoms or edges), for batches with a limit on their sum.
        limit: Largest sum of sizes in a batch.
        shuffle: False keeps the order of the set.
    """

    def __init__(
        self,
        num_frames: int,
        seed: int,
        *,
        batch_size: int | None = None,
        sizes: Sequence[int] | None = None,
        limit: int | None = None,
        shuffle: bool = True,
    ) -> None:
        self.num_frames, self.seed, self.shuffle = num_frames, seed, shuffle
        self.batch_size, self.limit = batch_size, limit
        self.sizes = list(sizes) if sizes is not None else None
        self.epoch, self.batch, self.since = 0, 0, 0
        self._packed: list[list[int]] = []
        if self.sizes is not None and limit is not None:
            self._packed = best_fit(self.sizes, limit)
            trials = [len(next_fit(self._order(-1 - trial), self.sizes, limit)) for trial in range(4 if shuffle else 1)]
            self._num_batches = min(max(len(self._packed), *trials), num_frames)
        elif batch_size is not None:
            self._num_batches = -(-num_frames // batch_size)
        else:
            raise ConfigError(problem("BatchOrder", "needs batch_size, or sizes and limit"))

    def _order(self, epoch: int) -> list[int]:
        if not self.shuffle:
            return list(range(self.num_frames))
        generator = torch.Generator().manual_seed((self.seed * _EPOCH_STRIDE + epoch) % 2**63)
        return torch.randperm(self.num_frames, generator=generator).tolist()

    def batches(self, epoch: int) -> list[list[int]]:
        """All batches of an epoch; their number is the same in every epoch."""
        order = self._order(epoch)
        if self.sizes is None or self.limit is None:
            size = self.batch_size or 1
            return [order[start : start + size] for start in range(0, self.num_frames, size)]
        found = next_fit(order, self.sizes, self.limit)
        if len(found) > self._num_batches:
            rank = {frame: position for position, frame in enumerate(order)}
            found = sorted(([*batch] for batch in self._packed), key=lambda batch: rank[batch[0]])
        return _split_up(found, self._num_batches)

    def __iter__(self) -> Iterator[list[int]]:
        rank, world = _processes.share()
        batches = self.batches(self.epoch)
        mine = [batches[index % len(batches)] for index in range(rank, len(self) * world, world)]
        return iter(mine[self.batch :])

    @property
    def is_repeated(self) -> bool:
        """Whether the next batch of this process is one of another, given so that all have the same number of steps."""
        rank, world = _processes.share()
        return self.batch * world + rank >= self._num_batches

    def __len__(self) -> int:
        """Batches of a full epoch, for this process; the same for all processes."""
        return math.ceil(self._num_batches / _processes.share()[1])


class TrainLoader(DataLoader[Graph]):
    """Shuffled batches that Lightning can stop and resume at any step.

    Lightning stores ``state_dict()`` with its loops and restores it after ``iter()`` was called, so the
    order is determined when the first batch is requested.

    Args:
        dataset: The train set.
        order: Which frames make up each batch.
        **options: Other arguments of ``torch.utils.data.DataLoader``.
    """

    def __init__(self, dataset: Dataset[Graph], order: BatchOrder, **options: Any) -> None:
        super().__init__(
            dataset,
            batch_sampler=order,
            collate_fn=collate,
            generator=torch.Generator(),  # else the seed of the workers advances the global generator
            **options,
        )
        self.order = order
        self._restored = False
        self._before: dict[str, int] = {}

    def __iter__(self) -> Iterator[Graph]:  # type: ignore[override]
        """The batches of one epoch, or those that were left when the state was saved."""
        order = self.order
        if not self._restored:
            order.since = 0
        self._restored = False
        while True:
            self.generator.manual_seed((order.seed * _EPOCH_STRIDE + order.epoch) % 2**63)
            for batch in self._collated() if self._is_plain else super().__iter__():
                again, self._before = order.is_repeated, self.state_dict()
                order.batch += 1
                order.since += 1
                if order.batch >= len(order):
                    order.epoch, order.batch = order.epoch + 1, 0
                finished = order.since >= len(order)
                order.since = 0 if finished else order.since  # before the yield: Lightning stops at the last batch
                yield _without_labels(batch) if again else batch
                if finished:
                    return

    @property
    def _is_plain(self) -> bool:
        """Whether frames are taken in this process as they are."""
        return not (self.num_workers or self.pin_memory) and not hasattr(self.dataset, "__getitems__")

    def _collated(self) -> Iterator[Graph]:
        return (collate([self.dataset[index] for index in batch]) for batch in self.order)

    def state_dict(self, *, before_last: bool = False) -> dict[str, int]:
        """Position in the run, and what must be the same when it is resumed; plain integers.

        Args:
            before_last: Without the last batch that was given out, which is not trained yet.
        """
        order = self.order
        if before_last and self._before:
            return self._before
        return {"epoch": order.epoch, "batch": order.batch, "since": order.since, **self._fixed()}

    def _fixed(self) -> dict[str, int]:
        return {"seed": self.order.seed, "num_frames": self.order.num_frames, "num_batches": len(self.order)}

    def load_state_dict(self, state: Mapping[str, int]) -> None:
        """Continue from a saved position.

        Raises:
            ConfigError: If seed, number of frames or number of batches differ from those of the saved run.
        """
        hint = "resume with the same data and seed"
        problems = [
            problem(f"data ({key})", f"the run to resume has {state[key]}", got=value, hint=hint)
            for key, value in self._fixed().items()
            if state[key] != value
        ]
        if problems:
            raise ConfigError(problems)
        order = self.order
        order.epoch, order.batch, order.since = int(state["epoch"]), int(state["batch"]), int(state["since"])
        self._restored = True


def _without_labels(batch: Graph) -> Graph:
    """The batch with all labels masked out: it counts neither in gradients nor in sums."""
    labels = [label for label in LABELS if label in batch]
    return {**batch, **{mask_key(one): torch.zeros(len(batch[one]), dtype=torch.bool) for one in labels}}


def evaluation_loader(dataset: Dataset[Graph], order: BatchOrder, **options: Any) -> DataLoader[Graph]:
    """A loader for validation and test, with batches in the same order each time.

    Args:
        dataset: The set.
        order: Which frames make up each batch.
        **options: Other arguments of ``torch.utils.data.DataLoader``.
    """
    generator = torch.Generator().manual_seed(order.seed % 2**63)
    return DataLoader(dataset, batch_sampler=order.batches(0), collate_fn=collate, generator=generator, **options)


def check_sizes(sizes: Sequence[int], limit: int, places: Sequence[str], what: str, where: str) -> None:
    """Raise a DataError that names the first frames whose size (in ``what``) exceeds the limit of a batch."""
    large = [(place, size) for place, size in zip(places, sizes, strict=True) if size > limit]
    if large:
        shown = ", ".join(f"{place} ({size} {what})" for place, size in large[:5])
        what = f"{len(large)} frames are larger than a batch may be: {shown}"
        hint = f"at least {max(size for _, size in large)} is needed"
        raise DataError(problem(where, what, got=limit, hint=hint))


def next_fit(order: Sequence[int], sizes: Sequence[int], limit: int) -> list[list[int]]:
    """Batches in the given order; a new one starts when the next frame does not fit."""
    batches: list[list[int]] = []
    room = -1
    for frame in order:
        if not batches or sizes[frame] > room:
            batches.append([])
            room = limit
        batches[-1].append(frame)
        room -= sizes[frame]
    return batches


def best_fit(sizes: Sequence[int], limit: int) -> list[list[int]]:
    """Pack frames into few batches: the largest first, each into the fullest batch that has room for it."""
    batches: list[list[int]] = []
    rooms: list[tuple[int, int]] = []
    for frame in sorted(range(len(sizes)), key=lambda index: (-sizes[index], index)):
        place = bisect.bisect_left(rooms, (sizes[frame], -1))
        if place == len(rooms):
            batches.append([])
            room, batch = limit, len(batches) - 1
        else:
            room, batch = rooms.pop(place)
        batches[batch].append(frame)
        bisect.insort(rooms, (room - sizes[frame], batch))
    return batches


def _split_up(batches: list[list[int]], wanted: int) -> list[list[int]]:
    """Halve the batches with the most frames until there are as many batches as wanted."""
    batches = list(batches)
    while len(batches) < wanted:
        place = max(range(len(batches)), key=lambda index: len(batches[index]))
        batch = batches[place]
        batches[place : place + 1] = [batch[: len(batch) // 2], batch[len(batch) // 2 :]]
    return batches
