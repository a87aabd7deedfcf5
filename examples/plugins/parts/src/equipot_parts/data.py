"""Where frames come from, and what happens to each."""

from __future__ import annotations

from typing import Any

from equipot.data import DataModule, FrameCollection, StatsManager, collect_frames, name_sets, read_atoms
from equipot.data.transforms import Transform
from equipot.errors import ConfigError, problem
from equipot.graph import Graph


class TrajectoryDataModule(DataModule):
    """Every n-th frame of an MD trajectory: the first part to train on, the rest to validate.

    Neighbouring frames of a trajectory are nearly the same, so a random split would validate on what
    was trained on.

    Args:
        seed: Decides the order of batches.
        file_path: A trajectory that ASE reads, with energies and forces.
        stride: Take one frame of this many.
        train: Number of frames to train on, from the start.
        batch_size: Frames a batch.
        transforms: Applied to each frame in order; by default what the model needs.
        stats_manager: Statistics of the train set.

    Raises:
        ConfigError: On a stride or number of frames below 1.
    """

    def __init__(
        self,
        seed: int,
        *,
        file_path: str,
        stride: int,
        train: int,
        batch_size: int = 1,
        transforms: list[Transform] | None = None,
        stats_manager: StatsManager | None = None,
    ) -> None:
        self.file_path, self.stride, self.train = file_path, stride, train
        problems = [
            problem(f"data.{name}", "must be at least 1", got=value)
            for name, value in (("stride", stride), ("train", train))
            if value < 1
        ]
        loader: dict[str, Any] = {"batch_size": batch_size}
        super().__init__(
            seed,
            transforms=transforms,
            dataloaders={"train": loader, "val": loader},
            stats_manager=stats_manager,
            problems=problems,
        )

    def source_files(self) -> list[str]:
        """The trajectory."""
        return [self.file_path]

    def read_sets(self) -> dict[str, FrameCollection]:
        """Both parts."""
        frames = [
            (f"{self.file_path}, frame {index}", atoms)
            for index, atoms in enumerate(read_atoms(self.file_path))
            if index % self.stride == 0
        ]
        if len(frames) <= self.train:
            raise ConfigError(problem("data.train", f"leaves none of the {len(frames)} frames", got=self.train))
        parts = (("train", frames[: self.train]), ("val", frames[self.train :]))
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
