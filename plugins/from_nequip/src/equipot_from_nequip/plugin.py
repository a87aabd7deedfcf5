"""What this package declares."""

from __future__ import annotations

from typing import TYPE_CHECKING

from equipot import hookimpl
from equipot.declarations import CommandEntry
from equipot_from_nequip import _table as table

if TYPE_CHECKING:
    from collections.abc import Iterator

    from equipot.declarations import TargetAliasEntry


@hookimpl
def equipot_target_aliases() -> Iterator[TargetAliasEntry]:
    """Declare the counterparts of names in configs of nequip and nequip-allegro."""
    yield from table.entries()


@hookimpl
def equipot_commands() -> Iterator[CommandEntry]:
    """Declare the command that converts models and configs."""
    yield CommandEntry(
        name="import-nequip",
        target="equipot_from_nequip._command.command",
        summary="Convert a model or a config of nequip",
    )
