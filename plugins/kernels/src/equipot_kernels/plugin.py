"""What this package declares."""

from __future__ import annotations

from typing import TYPE_CHECKING

from equipot import hookimpl
from equipot.declarations import ModifierEntry

if TYPE_CHECKING:
    from collections.abc import Iterator


@hookimpl
def equipot_modifiers() -> Iterator[ModifierEntry]:
    """Declare the modifiers."""
    yield ModifierEntry(
        name="enable_FusedKernels",
        target="equipot_kernels.enable_FusedKernels",
        summary="Compute message passing and contractions with compiled CPU kernels",
        persistent=False,
        devices=("cpu",),
        kernel_loader="equipot_kernels._build.registry.prepare",
    )
    yield ModifierEntry(
        name="enable_RadialSplines",
        target="equipot_kernels.enable_RadialSplines",
        summary="Interpolate radial functions, as finely as accurate forces need",
        persistent=False,
    )
    yield ModifierEntry(
        name="train_with_RadialSplines",
        target="equipot_kernels.train_with_RadialSplines",
        summary="Make interpolated radial functions part of the model, in training too",
        persistent=True,
        exact_without=True,
    )
