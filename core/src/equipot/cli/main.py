"""The command ``equipot``: a table of subcommands, each imported when it is asked for."""

from __future__ import annotations

import argparse
import importlib
import sys
from types import ModuleType
from typing import TYPE_CHECKING

from equipot._version import __version__
from equipot.cli.common import EXIT_ERROR, add_plugin_options, apply_plugin_options, run_module
from equipot.errors import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Sequence

COMMANDS: dict[str, tuple[str, str]] = {
    "train": ("equipot.cli.train", "train, validate and test a model from a config"),
    "check": ("equipot.cli.check", "check a config without reading data"),
    "compile": ("equipot.cli.compile", "compile a model for an engine"),
    "package": ("equipot.cli.package", "build, show, verify and modify packages"),
    "inspect": ("equipot.cli.inspect", "show what is in a checkpoint, package or compiled file"),
    "eval": ("equipot.cli.eval", "errors of a model on labelled data"),
    "plugins": ("equipot.cli.plugins", "list installed plugins and what they declare"),
    "describe": ("equipot.cli.describe", "options of an installed component"),
    "schema": ("equipot.cli.schema", "JSON Schema of the installed components"),
}
"""Name to module and summary."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run ``equipot``.

    Args:
        argv: Arguments without the program's name; None: those of the process.

    Returns:
        The exit code.
    """
    parser = _parser()
    arguments = list(sys.argv[1:] if argv is None else argv)
    own, rest = _split(arguments)
    args = parser.parse_args(own)
    apply_plugin_options(args)
    if not rest:
        parser.print_help()
        return 0 if not arguments else EXIT_ERROR
    name, rest = rest[0], rest[1:]
    if name not in COMMANDS:
        hint = did_you_mean(name, COMMANDS) or f"commands: {', '.join(COMMANDS)}"
        print(f"error: equipot: unknown command, got {name!r}; {hint}", file=sys.stderr)
        return EXIT_ERROR
    module = _load(name)
    return EXIT_ERROR if module is None else run_module(module, f"equipot {name}", rest)


def _split(arguments: list[str]) -> tuple[list[str], list[str]]:
    """Options before the command, and the command with everything after it."""
    index = 0
    while index < len(arguments) and arguments[index].startswith("-"):
        index += 2 if arguments[index] == "--plugins" else 1
    return arguments[:index], arguments[index:]


def _load(name: str) -> ModuleType | None:
    """Import a command's module; None, after a message, if this installation lacks it."""
    path = COMMANDS[name][0]
    try:
        return importlib.import_module(path)
    except ImportError as error:
        print(f"error: equipot {name}: cannot be loaded: {error}", file=sys.stderr)
        return None


def _parser() -> argparse.ArgumentParser:
    width = max(len(name) for name in COMMANDS)
    table = "\n".join(f"  {name:<{width}}  {summary}" for name, (_, summary) in COMMANDS.items())
    parser = argparse.ArgumentParser(
        prog="equipot",
        usage="equipot [options] COMMAND …",
        description="Plugin ecosystem for E(3)-equivariant interatomic potentials.",
        epilog=f"commands:\n{table}\n\n'equipot COMMAND --help' shows the options of one.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"equipot {__version__}")
    add_plugin_options(parser)
    return parser


if __name__ == "__main__":
    sys.exit(main())
