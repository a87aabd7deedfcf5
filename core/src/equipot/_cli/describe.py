"""Options of an installed component: type, default, unit and documentation, read from its code."""

from __future__ import annotations

import argparse
import sys


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    name = parser.add_argument("name", metavar="NAME", help="short name (ZBL) or path (equipot.pair_potentials.ZBL)")
    name.completer = _names  # type: ignore[attr-defined] # what argcomplete calls


def _names(**_context: object) -> list[str]:
    from equipot.plugins import KINDS, plugins

    return [name for kind in KINDS for name in plugins().names(kind)]


def run(args: argparse.Namespace) -> int:
    """Print each component of that name."""
    from equipot.config._components import find

    for component in find(args.name):
        _print(component)
    return 0


def _print(component: object) -> None:
    import inspect

    from rich.console import Console
    from rich.table import Table

    from equipot.config._components import Component
    from equipot.describe import describe_options

    assert isinstance(component, Component)  # noqa: S101 - for the type checker
    console = Console(file=sys.stdout, width=None if sys.stdout.isatty() else 120, highlight=False, markup=False)
    console.print(f"{component.path}  ({component.origin})")
    summary = (inspect.getdoc(component.target) or "").split("\n\n")[0]
    console.print(" ".join(summary.split()))
    table = Table(box=None, pad_edge=False)
    for title in ("option", "type", "default", "unit", "meaning"):
        table.add_column(title, overflow="fold", no_wrap=title == "option")
    for option in describe_options(component.target):
        table.add_row(option.name, option.annotation, option.default or "required", option.unit, option.doc)
    console.print(table)
