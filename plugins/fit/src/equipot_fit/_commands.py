"""Other commands of equipot, called in this process as if they were typed."""

from __future__ import annotations

from typing import Any

import click

from equipot.errors import printable
from equipot.plugins import plugins


def call(name: str, *arguments: str) -> int:
    """Run a command of equipot.

    Args:
        name: As declared, e.g. ``train``.
        *arguments: As typed after it.

    Returns:
        Its exit code.

    Raises:
        EquipotError: What the command raises.
    """
    command: Any = plugins().load("commands", name)
    assert isinstance(command, click.Command)  # noqa: S101 - of core
    return int(command.main(list(arguments), prog_name=f"equipot {name}", standalone_mode=False) or 0)


def say(text: str) -> None:
    """Print a line; control characters that a name may hold are shown, not obeyed."""
    print(printable(text), flush=True)  # noqa: T201 - command line output
