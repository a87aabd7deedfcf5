"""What this package declares."""

from __future__ import annotations

from typing import TYPE_CHECKING

from equipot import hookimpl
from equipot.declarations import CommandEntry, ModifierEntry

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
        automatic=True,
        devices=("cpu",),
        kernel_loader="equipot_kernels._build.registry.prepare",
        kernel_code="equipot_kernels._native.code.kernel_code",
        native_library="equipot_kernels._native.library.native_library",
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


@hookimpl
def equipot_commands() -> Iterator[CommandEntry]:
    """Declare the command that says where kernels come from."""
    yield CommandEntry(
        name="kernels",
        target="equipot_kernels._command.command",
        summary="Show which compiled kernels this machine uses",
        diagnosis="equipot_kernels._command.diagnosis",
    )
