"""What this package declares."""

from __future__ import annotations

from typing import TYPE_CHECKING

from equipot import hookimpl
from equipot.declarations import PartEntry

if TYPE_CHECKING:
    from collections.abc import Iterator


@hookimpl
def equipot_parts() -> Iterator[PartEntry]:
    """Declare what configs can name."""
    yield PartEntry(
        kind="data_module",
        target="equipot_parts.data.TrajectoryDataModule",
        summary="Every n-th frame of an MD trajectory",
    )
    yield PartEntry(
        kind="transform",
        target="equipot_parts.data.IgnoreLargeForces",
        summary="Leaves large forces out of training",
    )
    yield PartEntry(
        kind="loss",
        target="equipot_parts.training.LogCoshForceLoss",
        summary="Mean of log cosh of the force errors",
    )
    yield PartEntry(
        kind="callback",
        target="equipot_parts.training.FramesPerSecond",
        summary="Logs how many frames a second each epoch trained on",
    )
    yield PartEntry(
        kind="embedding",
        target="equipot_parts.embedding.GaussianScalarEmbed",
        summary="Gaussians of the length, mixed for each ordered pair of types",
    )
