"""What this package declares."""

from __future__ import annotations

from typing import TYPE_CHECKING

from equipot import hookimpl
from equipot.declarations import ModifierEntry

if TYPE_CHECKING:
    from collections.abc import Iterator


@hookimpl
def equipot_modifiers() -> Iterator[ModifierEntry]:
    """Declare the modifier; it changes how a model trains, not what it is, so it is not persistent."""
    yield ModifierEntry(
        name="freeze_Parameters",
        target="equipot_freeze.modifier.freeze_Parameters",
        summary="Stop training parts of a model",
        persistent=False,
    )
