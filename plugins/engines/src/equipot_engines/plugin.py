"""What this package declares."""

from __future__ import annotations

from typing import TYPE_CHECKING

from equipot import hookimpl
from equipot.declarations import CommandEntry

if TYPE_CHECKING:
    from collections.abc import Iterator


@hookimpl
def equipot_commands() -> Iterator[CommandEntry]:
    """Declare the command."""
    yield CommandEntry(
        name="ipi",
        target="equipot_engines._ipi_command.command",
        summary="Serve i-PI with energies and forces over a socket",
    )
