"""What this package declares."""

from __future__ import annotations

from typing import TYPE_CHECKING

from equipot import hookimpl
from equipot.declarations import ModifierEntry, PartEntry

if TYPE_CHECKING:
    from collections.abc import Iterator


@hookimpl
def equipot_modifiers() -> Iterator[ModifierEntry]:
    """Declare the modifier; it changes how a model trains, not what it is, so it is not persistent."""
    yield ModifierEntry(
        name="freeze_Parts",
        target="equipot_finetune.freeze_Parts",
        summary="Stop training parts of a model",
        persistent=False,
    )


@hookimpl
def equipot_parts() -> Iterator[PartEntry]:
    """Declare what configs can name; models do not contain any of it, so files never need this package."""
    for kind, name, summary in (
        ("recipe", "ModelWithNewTypes", "Another recipe's model with further atom types, old energies unchanged"),
        ("optimizer", "LowRankAdam", "Adam on low-rank changes of the weights, as with LoRA adapters"),
        ("data_module", "ReplayDataModule", "Labelled frames from files, and old frames with a weight"),
    ):
        yield PartEntry(kind=kind, target=f"equipot_finetune.{name}", summary=summary)
