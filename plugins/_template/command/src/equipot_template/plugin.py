"""What equipot-template declares; this module must stay light: no torch."""

from collections.abc import Iterator

from equipot import hookimpl
from equipot.declarations import CommandEntry


@hookimpl
def equipot_commands() -> Iterator[CommandEntry]:
    """Declare the command."""
    yield CommandEntry(
        name="template",
        target="equipot_template.command.command",
        summary="Command template",
    )
