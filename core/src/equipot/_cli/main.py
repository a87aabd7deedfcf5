"""The command ``equipot``: a table of subcommands, each imported when it is asked for."""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from types import ModuleType
from typing import TYPE_CHECKING

from equipot import _builtin
from equipot._cli.common import EXIT_ERROR, add_plugin_options, apply_plugin_options, run_module
from equipot._version import __version__
from equipot.errors import PluginError, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Sequence

COMMANDS: dict[str, tuple[str, str]] = {
    entry.name: (entry.target, entry.summary) for entry in _builtin.equipot_commands()
}
"""Core's commands, for when no plugin host can be made."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run ``equipot``.

    Args:
        argv: Arguments without the program's name; None: those of the process.

    Returns:
        The exit code.
    """
    if "_ARGCOMPLETE" in os.environ:  # the shell asks what could come next
        from equipot._cli.completion import complete

        complete()
    parser = _parser()
    arguments = list(sys.argv[1:] if argv is None else argv)
    own, rest = _split(arguments)
    args = parser.parse_args(own)
    try:
        apply_plugin_options(args)
    except PluginError as error:
        print(f"error: {error}", file=sys.stderr)
        return EXIT_ERROR
    if not rest:
        parser.print_help()
        return 0 if not arguments else EXIT_ERROR
    name, rest = rest[0], rest[1:]
    try:
        module = command_module(name)
    except PluginError as error:
        print(f"error: equipot: {error}", file=sys.stderr)
        return EXIT_ERROR
    except ImportError as error:
        print(f"error: equipot {name}: cannot be loaded: {error}", file=sys.stderr)
        return EXIT_ERROR
    return run_module(module, f"equipot {name}", rest)


def command_table() -> dict[str, str]:
    """Every command, core's and the installed plugins', and its summary."""
    from equipot.plugins import plugins

    own = {name: summary for name, (_, summary) in COMMANDS.items()}
    declared = {one.entry.name: one.entry.summary for one in plugins().available("commands")}
    return own | {name: summary for name, summary in declared.items() if " " not in name}


def command_module(name: str) -> ModuleType:
    """Import a command.

    Args:
        name: Of core's commands or of one that a plugin declares.

    Raises:
        PluginError: If there is no such command, saying what is near or to be installed.
        ImportError: If this installation lacks what it needs.
    """
    if name in COMMANDS:
        return importlib.import_module(COMMANDS[name][0])
    from equipot.plugins import plugins

    host = plugins()
    known = [one for one in host.names("commands") if one not in COMMANDS]
    if name not in known and not (hint := host.install_hint("commands", name)):
        hint = did_you_mean(name, [*COMMANDS, *known]) or f"commands: {', '.join([*COMMANDS, *known])}"
        raise PluginError(f"unknown command, got {name!r}; {hint}")
    return importlib.import_module(host.lookup("commands", name).entry.target)


def _split(arguments: list[str]) -> tuple[list[str], list[str]]:
    """Options before the command, and the command with everything after it."""
    index = 0
    while index < len(arguments) and arguments[index].startswith("-"):
        index += 2 if arguments[index] in ("--plugins", "--plugin") else 1
    return arguments[:index], arguments[index:]


class _Parser(argparse.ArgumentParser):
    """Makes the list of commands when the help is shown: only then plugins load."""

    def format_help(self) -> str:
        """The help with all commands."""
        try:
            commands = command_table()
        except PluginError as error:  # a strict or misspelled switch must not hide the help
            print(f"error: {error}", file=sys.stderr)
            commands = {name: summary for name, (_, summary) in COMMANDS.items()}
        width = max(len(name) for name in commands)
        table = "\n".join(f"  {name:<{width}}  {summary}" for name, summary in commands.items())
        self.epilog = f"commands:\n{table}\n\n'equipot COMMAND --help' shows the options of one."
        return super().format_help()


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="equipot",
        usage="equipot [options] COMMAND …",
        description="Plugin ecosystem for E(3)-equivariant interatomic potentials.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"equipot {__version__}")
    add_plugin_options(parser)
    return parser


if __name__ == "__main__":
    sys.exit(main())
