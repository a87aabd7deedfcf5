"""The data module ``ReplayDataModule``: frames of an earlier training take part in a new one, with a weight."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
import torch
from pydantic import Field

from equipot.data import ASEDataModule, ASEDataOptions, FrameCollection
from equipot.errors import DataError, problem
from equipot.fields import weight_key
from equipot.graph import Graph, per_what


@dataclass(frozen=True, kw_only=True)
class ReplayDataOptions(ASEDataOptions):
    """Options of ReplayDataModule."""

    replay_file_path: str | list[str]
    """File or files with frames of an earlier training, which must be labelled by the same method as the new ones."""

    replay_weight: Annotated[float, Field(gt=0)] = 1.0
    """Weight of the mean loss of the replayed frames relative to that of the new ones."""

    replay_frames: Annotated[int, Field(gt=0)] | None = None
    """Number of frames that are replayed, chosen at random by ``seed``; default: all of the files."""

    def problems(self) -> Iterator[str]:
        """The replayed files, and those of all data sections with files."""
        yield from super().problems()
        found: list[str] = []
        if not self._entries(self.replay_file_path, "replay_file_path", found) and not found:
            found.append(problem("replay_file_path", "no files are given"))
        yield from found
        if self.train_subset is not None:
            what = "cannot be given together with replay_file_path"
            yield problem("train_subset", what, hint="write the chosen frames to a file")

    def replayed(self) -> list[Any]:
        """The replayed files."""
        return self._entries(self.replay_file_path, "replay_file_path", [])


class ReplayDataModule(ASEDataModule, options=ReplayDataOptions):
    """``ASEDataModule`` with old frames in the train set, which keep a model from forgetting.

    Weights are such that the loss is the mean over the new frames plus ``replay_weight`` times that over the old ones,
    however many there are of each. Validation and test sets stay as they are given.
    """

    options: ReplayDataOptions

    def source_files(self) -> list[str]:
        """All files, without repetition."""
        return list(dict.fromkeys([*super().source_files(), *self.paths(self.options.replayed())]))

    def read_sets(self) -> dict[str, FrameCollection]:
        """Frames of each set; the replayed ones are the last of the train set."""
        sets = super().read_sets()
        if "train" not in sets:
            raise DataError(problem("data", "replay needs a train set", hint="give train_file_path or split_dataset"))
        new, old = sets["train"], self.read(self.options.replayed())
        if self.options.replay_frames is not None:
            if self.options.replay_frames > len(old.places):
                what = f"the files have only {len(old.places)} frames"
                raise DataError(problem("data.replay_frames", what, got=self.options.replay_frames))
            order = np.random.default_rng(self.options.seed).permutation(len(old.places))
            old = old.subset(sorted(order[: self.options.replay_frames].tolist()))
        return {**sets, "train": joined(new, old, self.options.replay_weight)}


def joined(new: FrameCollection, old: FrameCollection, weight: float) -> FrameCollection:
    """New and old frames in one collection, with weights whose mean is 1.

    Args:
        new: The frames of the training itself.
        old: The replayed frames.
        weight: Of the sum of the old ones' weights, relative to that of the new ones.
    """
    labels = sorted(new.labels | old.labels)
    total = (len(new.places) + len(old.places)) / (1.0 + weight)
    shares = ((new, total / len(new.places)), (old, weight * total / len(old.places)))
    lists: dict[str, Any] = {}
    for one in dataclasses.fields(FrameCollection):
        parts = [list(getattr(collection, one.name)) for collection, _ in shares]
        lists[one.name] = [*parts[0], *parts[1]] if all(parts) else []
    lists["compositions"] = [part.composition(index) for part, _ in shares for index in range(len(part.places))]
    lists["frames"] = [_weighted(frame, labels, share) for part, share in shares for frame in part.frames]
    return FrameCollection(**lists)


def _weighted(frame: Graph, labels: list[str], weight: float) -> Graph:
    """A frame whose labels have a weight, times the one that the file gives."""
    weights = {}
    for label in labels:
        rows = len(frame["positions"]) if per_what(label) == "atom" else 1
        given = frame.get(weight_key(label), torch.ones(rows, dtype=torch.float64))
        weights[weight_key(label)] = given * weight
    return {**frame, **weights}
