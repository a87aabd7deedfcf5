"""List installed plugins: id, distribution, version, API, what each declares, state and error."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from equipot.plugins import PluginHost


MOST_NAMES = 12
"""Longer lists are counted in the table."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("--json", action="store_true", help="machine-readable output")


def run(args: argparse.Namespace) -> int:
    """Print the table, or JSON."""
    from equipot.cli.common import show_plugin_warnings
    from equipot.plugins import plugins

    host = plugins()
    if args.json:
        print(json.dumps(listing(host), indent=2))
    else:
        _print_table(host)
        show_plugin_warnings()
    return 0


def listing(host: PluginHost) -> list[dict[str, Any]]:
    """One mapping a plugin, as ``--json`` prints it."""
    keys = ("id", "distribution", "version", "api", "declares", "state", "error")
    return [{key: asdict(record)[key] for key in keys} for record in host.records]


def _shown(names: list[str]) -> str:
    return ", ".join(names) if len(names) <= MOST_NAMES else f"{len(names)} names (--json lists them)"


def _print_table(host: PluginHost) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for title in ("id", "distribution", "version", "API", "declares", "state"):
        table.add_column(title, overflow="fold")
    for record in host.records:
        declares = "\n".join(
            f"{kind.replace('_', ' ')}: {_shown(names)}" for kind, names in sorted(record.declares.items())
        )
        table.add_row(record.id, record.distribution, record.version, record.api, declares, record.state)
    console = Console(file=sys.stdout, width=None if sys.stdout.isatty() else 160)
    console.print(table)
    for name, items in host.ambiguous().items():
        owners = " and ".join(f"{item.distribution} {item.version}" for item in items)
        console.print(f"ambiguous: {name} is declared by {owners}; use the full path of one of them")
