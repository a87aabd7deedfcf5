"""Frames with their transforms; the results of the transforms are computed once and kept in memory."""

from __future__ import annotations

import functools
import hashlib
import itertools
import logging
from collections.abc import Collection, Iterator, Mapping, Sequence

import torch
from torch.utils.data import Dataset

from equipot._progress import track
from equipot.data._collection import LazyFrames
from equipot.data._counting import NeighborCounts, counted, with_types
from equipot.data._isolated import is_isolated
from equipot.data._packed import PackedFrames
from equipot.data.transforms import ChemicalSpeciesToAtomTypeMapper, ModelEdges, Transform
from equipot.errors import DataError, problem
from equipot.fields import weight_key
from equipot.graph import EDGE_SET_SEPARATOR, Graph, with_labels
from equipot.quantities import NEIGHBOR_COUNTS

logger = logging.getLogger(__name__)

CACHE_BYTES = 2 * 1024**3
"""Memory that one set may use for the results of its transforms; beyond it, transforms run on each access."""

_WHOLE_FRAMES = 2000
"""So many frames are kept as they are given out: for small sets, joining and converting their parts for each batch
takes as long as a tenth of a training step."""

_FRAMES_AT_ONCE = 256

_COMPACT = {"edge_index": (torch.int32, torch.int64), "edge_cell_shift": (torch.int16, torch.float64)}
"""Edge fields: their data type in the cache, and in frames."""


class FrameDataset(Dataset[Graph]):
    """Frames with transforms, e.g. the train set.

    Args:
        frames: Frames as read from files, in memory or lazy.
        places: File and index of each frame, for messages.
        transforms: Applied in order when a frame is fetched.
        isolated: For each frame, whether it is marked as an isolated atom.
        single: Indices of the frames of one atom, if they are known.
        cache_bytes: Memory for the results of the transforms.
    """

    def __init__(
        self,
        frames: Sequence[Graph],
        places: Sequence[str] | None = None,
        transforms: Sequence[Transform] = (),
        *,
        isolated: Sequence[bool] | None = None,
        single: Sequence[int] | None = None,
        cache_bytes: int = CACHE_BYTES,
    ) -> None:
        self._frames = frames
        self.places = list(places) if places is not None else [f"frame {index}" for index in range(len(self._frames))]
        if len(self.places) != len(self._frames):
            what = f"must have one entry per frame ({len(self._frames)})"
            raise DataError(problem("FrameDataset.places", what, got=len(self.places)))
        self.transforms = list(transforms)
        self._marked = [False] * len(self._frames) if isolated is None else list(isolated)
        self._single = single
        self._isolated: list[bool] | None = None
        self._cache: dict[int, Graph] = {}
        self._whole: dict[int, Graph] = {}
        self._cache_left = cache_bytes
        self._cache_bytes = cache_bytes

    def __len__(self) -> int:
        return len(self._frames)

    def __iter__(self) -> Iterator[Graph]:
        return (self[index] for index in range(len(self)))

    def __getitem__(self, index: int) -> Graph:
        """The frame after all transforms.

        Raises:
            DataError: If a transform fails on it; the message starts with its place.
        """
        if index in self._whole:
            return dict(self._whole[index])
        frame = self._frames[index]
        if index in self._cache:
            return {**frame, **_expanded(self._cache[index])}
        result = frame
        for transform in self.transforms:
            try:
                result = transform(result)
            except DataError as error:
                raise DataError(f"{self.places[index]}: {error}") from error
        self._remember(index, frame, result)
        return result

    def _remember(self, index: int, before: Graph, after: Graph) -> None:
        if self._cache_left <= 0 or not before.keys() <= after.keys():
            return
        added = {key: value for key, value in after.items() if value is not before.get(key)}
        whole = len(self._whole) < _WHOLE_FRAMES
        kept = added if whole else {key: _compacted(key, value) for key, value in added.items()}
        self._cache_left -= sum(value.numel() * value.element_size() for value in kept.values())
        if whole:
            self._whole[index] = dict(after)
        else:
            self._cache[index] = kept
        if self._cache_left <= 0:
            logger.info(
                "neighbour lists of %d of %d frames fill %d MB; the others are computed on each access",
                len(self._whole) + len(self._cache),
                len(self),
                self._cache_bytes // 1024**2,
            )

    def for_statistics(self, fields: Collection[str] | None, workers: int = 1) -> tuple[Iterator[Graph], list[bool]]:
        """All frames, in batches without edges where that gives all of the fields; with progress.

        Batches have no frames without a label that counts, which are part of no statistic.

        Args:
            fields: What is read of them, ``num_neighbors`` included; None: everything.
            workers: Processes that count neighbours where edges are not needed; 1: this one.

        Returns:
            Frames or batches, and for each whether it is an isolated atom; these come last where others are joined.
        """
        what = "computing statistics"
        usual = all(isinstance(one, (ChemicalSpeciesToAtomTypeMapper, ModelEdges)) for one in self.transforms)
        edges = fields is None or any(key.startswith("edge_") for key in fields)
        packed, isolated = self._frames, self.isolated_atoms()
        if edges or not usual or not isinstance(packed, PackedFrames) or not packed.uniform:
            return (self[index] for index in track(range(len(self)), what)), isolated
        alone = [index for index, one in enumerate(isolated) if one]
        labelled = packed.labelled()
        others = packed.subset([index for index, one in enumerate(isolated) if not one and labelled[index]])
        starts = range(0, len(others), _FRAMES_AT_ONCE)
        joined = (
            next(others[start : start + _FRAMES_AT_ONCE].batches(_FRAMES_AT_ONCE)) for start in track(starts, what)
        )
        batches: Iterator[Graph] = (with_types(batch, self.transforms) for batch in joined)
        if NEIGHBOR_COUNTS in (fields or ()) and len(others):
            batches = counted(batches, NeighborCounts(others, self.transforms, _FRAMES_AT_ONCE), workers)
        marks = [False] * len(starts) + [True] * len(alone)
        return itertools.chain(batches, (self[index] for index in alone)), marks

    def elements(self) -> dict[int, str]:
        """Atomic numbers that occur, and the place of the first frame with each of them."""
        if isinstance(self._frames, PackedFrames):
            return {number: self.places[first] for number, (_, first) in self._frames.elements().items()}
        found: dict[int, str] = {}
        for place, frame in zip(self.places, self._frames, strict=True):
            for number in frame["atomic_numbers"].unique().tolist():
                found.setdefault(number, place)
        return found

    def raw(self, index: int) -> Graph:
        """The frame as read, before the transforms."""
        return self._frames[index]

    def with_transforms(self, transforms: Sequence[Transform]) -> FrameDataset:
        """The same frames with other transforms and an empty cache."""
        marked, single, cache_bytes = self._marked, self._single, self._cache_bytes
        return FrameDataset(
            self._frames, self.places, transforms, isolated=marked, single=single, cache_bytes=cache_bytes
        )

    def isolated_atoms(self) -> list[bool]:
        """For each frame, whether it is an isolated atom: marked as one, or one atom without neighbours.

        The transforms must include a neighbour list.
        """
        if self._isolated is None:
            if self._single is None:
                self._single = [index for index, size in enumerate(self.num_atoms()) if size == 1]
            found = [*self._marked]
            for index in self._single:
                found[index] = found[index] or is_isolated(self[index])
            self._isolated = found
        return self._isolated

    def num_atoms(self) -> list[int]:
        """Number of atoms of each frame."""
        if isinstance(self._frames, PackedFrames):
            return self._frames.num_atoms().tolist()
        return [frame["positions"].shape[0] for frame in self._frames]

    def num_edges(self) -> list[int]:
        """Number of edges of each frame; computes all neighbour lists."""
        return [frame["edge_index"].shape[1] for frame in self]

    def content_hash(self) -> str:
        """SHA-256 of all frames as read (geometry, elements, labels, masks), in order."""
        if isinstance(self._frames, PackedFrames):
            return self._frames.content_hash()
        digest = hashlib.sha256()
        for frame in self._frames:
            for key in sorted(frame):
                value = frame[key]
                digest.update(f"{key}{tuple(value.shape)}{value.dtype}".encode())
                digest.update(value.contiguous().numpy().tobytes())
        return digest.hexdigest()


def complete_labels(
    frames: Sequence[Graph], labels: Sequence[str], scales: Mapping[str, float] | None = None
) -> Sequence[Graph]:
    """Give every frame all labels of the run; those that it lacks are zero and masked out.

    Args:
        frames: Frames as read.
        labels: Labels that at least one frame of the run has.
        scales: Labels with weights, and what these are multiplied with.
    """
    if isinstance(frames, PackedFrames):
        return frames.with_labels(labels, scales)
    complete = functools.partial(_complete, labels=tuple(labels), scales=dict(scales or {}))
    return frames.map(complete) if isinstance(frames, LazyFrames) else [complete(frame) for frame in frames]


def _complete(frame: Graph, labels: tuple[str, ...], scales: Mapping[str, float]) -> Graph:
    full = with_labels(frame, labels, [label for label in labels if label in scales])
    return full | {key: full[key] * scale for label, scale in scales.items() if (key := weight_key(label)) in full}


def _compacted(key: str, value: torch.Tensor) -> torch.Tensor:
    small, _ = _COMPACT.get(key.split(EDGE_SET_SEPARATOR, maxsplit=1)[0], (None, None))
    if small is None or not value.numel():
        return value
    return value.to(small) if float(value.abs().max()) < torch.iinfo(small).max else value


def _expanded(cached: Graph) -> Graph:
    full = {key: _COMPACT.get(key.split(EDGE_SET_SEPARATOR)[0], (None, None))[1] for key in cached}
    return {key: value.to(full[key] or value.dtype) for key, value in cached.items()}
