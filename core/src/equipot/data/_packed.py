"""Frames as views of a few large arrays: a tenth of the memory of single tensors, and counted without a loop."""

from __future__ import annotations

import functools
import hashlib
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, overload

import numpy as np
import torch

from equipot.fields import FIELDS, LABELS, mask_key, weight_key
from equipot.graph import Graph, per_what

Array = np.ndarray[Any, np.dtype[Any]]

GEOMETRY = ("positions", "cell", "pbc", "atomic_numbers")
DERIVED = ("batch", "num_atoms")
"""Fields of a frame that follow from the others."""

_AT_ONCE = 1024
_INTEGERS = torch.zeros(1, dtype=torch.int64)


class PackedFrames(Sequence[Graph]):
    """A sequence of frames, each made when it is accessed; its tensors are views, which must not be changed.

    Args:
        fields: All rows of each field, those of frames without the field among them (any number).
        present: For fields that some frames lack, which frames have them, bool, shape [n_all].
        counts: Number of atoms of all frames, int64, shape [n_all].
        indices: The frames of this sequence; None: all.
        completed: Labels that frames without them get, zero and masked out.
    """

    def __init__(
        self,
        fields: Mapping[str, torch.Tensor],
        present: Mapping[str, Array],
        counts: Array,
        indices: Array | None = None,
        completed: tuple[str, ...] = (),
    ) -> None:
        self.fields, self.present, self.counts = dict(fields), dict(present), counts
        self.indices = np.arange(len(counts)) if indices is None else indices
        self.completed = completed
        self._starts = np.concatenate([[0], np.cumsum(counts)])

    def __len__(self) -> int:
        return len(self.indices)

    @overload
    def __getitem__(self, index: int) -> Graph: ...

    @overload
    def __getitem__(self, index: slice) -> PackedFrames: ...

    def __getitem__(self, index: int | slice) -> Graph | PackedFrames:
        """One frame, or packed frames for a slice."""
        if isinstance(index, slice):
            return self.subset(self.indices[index], absolute=True)
        return self._frame(int(self.indices[index]))

    def __iter__(self) -> Iterator[Graph]:
        return (self._frame(index) for index in self.indices.tolist())

    def _frame(self, index: int) -> Graph:
        n, start = int(self.counts[index]), int(self._starts[index])
        rows = {"atom": slice(start, start + n), "frame": slice(index, index + 1)}
        frame = {key: self.fields[key][rows[_per(key)]] for key in self._keys(index)}
        frame["batch"] = torch.zeros(n, dtype=torch.int64)
        frame["num_atoms"] = torch.tensor([n], dtype=torch.int64)
        return frame

    def batches(self, size: int) -> Iterator[Graph]:
        """The frames in order as batches of up to ``size``, as ``collate`` makes them of completed frames.

        Raises:
            ValueError: If frames lack fields that others have.
        """
        if not self.uniform:
            raise ValueError("frames that differ in fields cannot be joined without a look at each")
        for start in range(0, len(self), size):
            chosen = self.indices[start : start + size]
            rows = {"atom": torch.from_numpy(self._rows(chosen)), "frame": torch.from_numpy(chosen)}
            batch = {key: value[rows[_per(key)]] for key, value in self.fields.items()}
            counts = torch.from_numpy(self.counts[chosen])
            batch["batch"] = torch.arange(len(chosen)).repeat_interleave(counts)
            batch["num_atoms"] = counts
            yield batch

    def gathered(self) -> tuple[dict[str, Array], dict[str, Array]]:
        """All fields of the frames in order as arrays, and for fields that some frames lack which ones have them."""
        rows = {"atom": self._rows(self.indices), "frame": self.indices}
        fields = {key: value.numpy()[rows[_per(key)]] for key, value in self.fields.items()}
        lacking = {key: has[self.indices] for key, has in self.present.items() if key not in self._complete}
        return fields, lacking

    @property
    def uniform(self) -> bool:
        """Whether all frames have the same fields."""
        return not set(self.present) - self._complete

    def _keys(self, index: int) -> Iterable[str]:
        """Fields of a frame; masked labels that it lacks are all zero and not present."""
        if not self.present:
            return self.fields
        lacks = [key for key, has in self.present.items() if not has[index] and key not in self._complete]
        return [key for key in self.fields if key not in lacks] if lacks else self.fields

    @functools.cached_property
    def _complete(self) -> frozenset[str]:
        return frozenset(key for label in self.completed for key in (label, mask_key(label), weight_key(label)))

    def subset(self, indices: Sequence[int] | Array, *, absolute: bool = False) -> PackedFrames:
        """Some of the frames, in the given order; ``absolute`` indices count all frames, not those of this sequence."""
        chosen = np.asarray(indices, dtype=np.int64)
        chosen = chosen if absolute else self.indices[chosen]
        return PackedFrames(self.fields, self.present, self.counts, chosen, self.completed)

    def with_labels(self, labels: Iterable[str], scales: Mapping[str, float] | None = None) -> PackedFrames:
        """The same frames with all of these labels; those that a frame lacks are zero and masked out.

        Args:
            labels: Labels that all frames get.
            scales: Labels with weights, and what these are multiplied with.
        """
        wanted = tuple(labels)
        fields = dict(self.fields)
        for label in wanted:
            rows = int(self.counts.sum()) if _per(label) == "atom" else len(self.counts)
            shape = FIELDS[label].shape[1:]
            if label not in fields:
                fields[label] = torch.zeros((1, *shape), dtype=torch.float64).expand(rows, *shape)  # type: ignore[arg-type]
            if mask_key(label) not in fields:
                fields[mask_key(label)] = torch.full((1,), label in self.fields).expand(rows)
            if label in (scales or {}):
                ones = torch.ones(1, dtype=torch.float64).expand(rows)
                fields[weight_key(label)] = fields.get(weight_key(label), ones) * (scales or {})[label]
        return PackedFrames(fields, self.present, self.counts, self.indices, wanted)

    # --------------------------------------------------------------- counts

    def num_atoms(self) -> Array:
        """Number of atoms of each frame, int64."""
        return self.counts[self.indices]

    def elements(self) -> dict[int, tuple[int, int]]:
        """Of each atomic number: the atoms that have it, and the first frame."""
        numbers = self.fields["atomic_numbers"].numpy()
        found: dict[int, tuple[int, int]] = {}
        for start in range(0, len(self), _AT_ONCE):
            chosen = self.indices[start : start + _AT_ONCE]
            some = numbers[self._rows(chosen)]
            frames = np.repeat(np.arange(start, start + len(chosen)), self.counts[chosen])
            for number, first, count in zip(*np.unique(some, return_index=True, return_counts=True), strict=True):
                before, frame = found.get(int(number), (0, int(frames[first])))
                found[int(number)] = (before + int(count), frame)
        return found

    def ranges(self, label: str) -> tuple[Array, Array, Array]:
        """Of each frame: whether it has values of a label, and the smallest and the largest of them."""
        per_atom = _per(label) == "atom"
        has, low, high = (np.zeros(len(self), kind) for kind in (bool, float, float))
        if label not in self.fields:
            return has, low, high
        values = self.fields[label].numpy()
        given = self.fields.get(mask_key(label))  # inputs of a frame, such as total_charge, have none
        masks = np.ones(len(values), bool) if given is None else given.numpy()
        for start in range(0, len(self), _AT_ONCE):
            chosen = self.indices[start : start + _AT_ONCE]
            rows = self._rows(chosen) if per_atom else chosen
            sizes = self.counts[chosen] if per_atom else np.ones(len(chosen), np.int64)
            some, mask = values[rows].reshape(len(rows), -1), masks[rows]
            first = np.concatenate([[0], np.cumsum(sizes)[:-1]])
            part = slice(start, start + len(chosen))
            has[part] = np.logical_or.reduceat(mask, first)
            low[part] = np.minimum.reduceat(np.where(mask, some.min(axis=1), np.inf), first)
            high[part] = np.maximum.reduceat(np.where(mask, some.max(axis=1), -np.inf), first)
        if label in self.present and label not in self.completed:
            has &= self.present[label][self.indices]
        return has, low, high

    def labelled(self) -> Array:
        """Of each frame: whether any label counts, bool; those without masks do, and frames without labels too."""
        present = [label for label in LABELS if label in self.fields]
        masked = [label for label in present if mask_key(label) in self.fields]
        found = np.full(len(self), not present or masked != present)
        for label in masked:
            if not found.all():
                found |= self.ranges(label)[0]
        return found

    def _rows(self, chosen: Array) -> Array:
        """Rows of the atoms of frames, by their absolute indices."""
        counts = self.counts[chosen]
        ends = np.cumsum(counts)
        return np.arange(ends[-1]) + np.repeat(self._starts[chosen] - (ends - counts), counts)

    def content_hash(self) -> str:
        """SHA-256 as of ``FrameDataset.content_hash``: names, shapes, types and numbers of all fields, in order."""
        return self._digest

    @functools.cached_property
    def _digest(self) -> str:
        digest = hashlib.sha256()
        arrays = {key: np.ascontiguousarray(value.numpy()) for key, value in self.fields.items()}
        heads: dict[tuple[str, int], bytes] = {}
        zeros = np.zeros(int(self.counts.max(initial=0)), np.int64).tobytes()
        for index in self.indices.tolist():
            n, start = int(self.counts[index]), int(self._starts[index])
            parts: list[Any] = []
            for key in sorted([*self._keys(index), *DERIVED]):
                per_atom = _per(key) == "atom"
                head = heads.get((key, n))
                if head is None:
                    head = heads[key, n] = self._head(key, n if per_atom else 1)
                parts.append(head)
                if key in DERIVED:
                    parts.append(zeros[: 8 * n] if key == "batch" else n.to_bytes(8, sys.byteorder))
                else:
                    parts.append(arrays[key][start : start + n] if per_atom else arrays[key][index : index + 1])
            digest.update(b"".join(parts))
        return digest.hexdigest()

    def _head(self, key: str, rows: int) -> bytes:
        value = self.fields.get(key, _INTEGERS)
        return f"{key}{(rows, *value.shape[1:])}{value.dtype}".encode()


@functools.cache
def _per(key: str) -> str:
    return per_what(key)


class Packer:
    """Collects frames one by one for ``PackedFrames``."""

    def __init__(self) -> None:
        self._open: dict[tuple[str, ...], tuple[list[int], list[list[Array]]]] = {}
        self._blocks: list[tuple[Array, Array, dict[str, Array]]] = []
        self._has: dict[str, Array] = {}
        self._number = 0

    def __len__(self) -> int:
        return self._number

    def add(self, frame: Graph) -> None:
        """Add a frame as ``frame_from_atoms`` makes it."""
        self.add_arrays({key: value.numpy() for key, value in frame.items() if key not in DERIVED})

    def add_arrays(self, fields: Mapping[str, Array]) -> None:
        """Add a frame without the fields that follow from the others."""
        numbers, columns = self._open.setdefault(tuple(fields), ([], [[] for _ in fields]))
        numbers.append(self._number)
        for column, value in zip(columns, fields.values(), strict=True):
            column.append(value)
        self._number += 1
        if len(numbers) == _AT_ONCE:
            self._close(tuple(fields))

    def _close(self, keys: tuple[str, ...]) -> None:
        numbers, columns = self._open.pop(keys)
        counts = np.array([len(one) for one in columns[keys.index("positions")]], np.int64)
        joined = {key: np.concatenate(column) for key, column in zip(keys, columns, strict=True)}
        self._blocks.append((np.array(numbers), counts, joined))

    def finish(self) -> PackedFrames:
        """All frames in the order in which they were added; the packer is empty afterwards."""
        for keys in list(self._open):
            self._close(keys)
        counts = np.zeros(self._number, np.int64)
        for numbers, some, _ in self._blocks:
            counts[numbers] = some
        starts = np.cumsum(counts) - counts
        names = dict.fromkeys(key for _, _, joined in self._blocks for key in joined)
        fields = {key: torch.from_numpy(self._joined(key, counts, starts)) for key in names}
        present = {}
        for key in names:
            has = self._has.pop(key)
            if not has.all():
                present[key] = has
        self._blocks.clear()
        return PackedFrames(fields, present, counts)

    def _joined(self, key: str, counts: Array, starts: Array) -> Array:
        """All rows of a field; frees those of the blocks."""
        parts = [(numbers, sizes, joined.pop(key)) for numbers, sizes, joined in self._blocks if key in joined]
        per_atom = _per(key) == "atom"
        first = parts[0][2]
        rows = np.zeros((int(counts.sum()) if per_atom else len(counts), *first.shape[1:]), first.dtype)
        has = self._has[key] = np.zeros(len(counts), bool)
        for numbers, sizes, values in parts:
            has[numbers] = True
            ends = np.cumsum(sizes)
            at = np.repeat(starts[numbers] - (ends - sizes), sizes) + np.arange(ends[-1]) if per_atom else numbers
            rows[at] = values
        return rows


@dataclass
class SameButNumbers:
    """Stands for the ``Atoms`` of a frame that looks like an earlier one."""

    example: int
    """Index of the earlier frame in its collection."""
    fields: dict[str, Array]
    """Fields of the frame, as for ``Packer.add_arrays``."""
    info: dict[str, Any] = field(default_factory=dict)
    """Nothing: frames with notes of the reader go the whole way."""
    own: dict[str, Any] = field(default_factory=dict)
    """What is known of the frame, by the name of the list in a collection, where it differs from the example's."""
