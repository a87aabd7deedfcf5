"""What this package declares."""

from __future__ import annotations

from typing import TYPE_CHECKING

from equipot import hookimpl
from equipot.declarations import ModifierEntry

if TYPE_CHECKING:
    from collections.abc import Iterator


@hookimpl
def equipot_modifiers() -> Iterator[ModifierEntry]:
    """Declare the two modifiers."""
    yield ModifierEntry(
        name="enable_ForceStressOutput",
        target="equipot_force_stress.enable_ForceStressOutput",
        summary="Add forces, stress and virial to a model",
        persistent=True,
        provides=("forces", "stress", "virial"),
    )
    yield ModifierEntry(
        name="disable_ForceStressOutput",
        target="equipot_force_stress.disable_ForceStressOutput",
        summary="Make a model energy-only",
        persistent=True,
    )
