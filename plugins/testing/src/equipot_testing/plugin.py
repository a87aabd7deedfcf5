"""What this package declares."""

from __future__ import annotations

from typing import TYPE_CHECKING

from equipot import hookimpl
from equipot.declarations import CommandEntry

if TYPE_CHECKING:
    from collections.abc import Iterator


@hookimpl
def equipot_commands() -> Iterator[CommandEntry]:
    """Declare the commands for plugin authors."""
    yield CommandEntry(
        name="plugins new",
        target="equipot_testing._new_command.command",
        summary="Write a new plugin: an installable package with tests",
    )
    yield CommandEntry(
        name="plugins index",
        target="equipot_testing._index_command.command",
        summary="Make a page and JSON of plugins from their wheels",
    )
    yield CommandEntry(
        name="plugins check",
        target="equipot_testing._check_command.command",
        summary="Run the conformance kit on a plugin and report in plain words",
    )
