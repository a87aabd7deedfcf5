"""Where frames come from, and what happens to each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from equipot.data import DataModule, FrameCollection, collect_frames, name_sets, read_placed
from equipot.data.options import DataOptions
from equipot.errors import ConfigError, problem
from equipot.graph import Graph


@dataclass(frozen=True, kw_only=True)
class TrajectoryOptions(DataOptions):
    """Options of TrajectoryDataModule."""

    file_path: str
    """A trajectory that ASE reads, with energies and forces."""

    stride: Annotated[int, Field(ge=1)]
    """Take one frame of this many."""

    train: Annotated[int, Field(ge=1)]
    """Number of frames to train on, from the start."""


class TrajectoryDataModule(DataModule, options=TrajectoryOptions):
    """Every n-th frame of an MD trajectory: the first part to train on, the rest to validate.

    Neighbouring frames of a trajectory are nearly the same, so a random split would validate on what
    was trained on.
    """

    options: TrajectoryOptions

    def source_files(self) -> list[str]:
        """The trajectory."""
        return [self.options.file_path]

    def read_sets(self) -> dict[str, FrameCollection]:
        """Both parts."""
        options = self.options
        frames = list(read_placed([options.file_path]))[:: options.stride]
        if len(frames) <= options.train:
            raise ConfigError(problem("data.train", f"leaves none of the {len(frames)} frames", got=options.train))
        parts = (("train", frames[: options.train]), ("val", frames[options.train :]))
        return name_sets((name, collect_frames(some, self.label_contract)) for name, some in parts)


class IgnoreLargeForces:
    """Leaves the forces of atoms out of training where they are large, as in a bad contact.

    Args:
        limit: Largest norm of a force that counts, in the data's unit.
    """

    def __init__(self, limit: float) -> None:
        self.limit = limit

    def __call__(self, frame: Graph) -> Graph:
        """The frame with those forces masked."""
        if "forces" not in frame:
            return frame
        small = frame["forces"].norm(dim=1) <= self.limit
        return {**frame, "forces_mask": small & frame.get("forces_mask", small)}
