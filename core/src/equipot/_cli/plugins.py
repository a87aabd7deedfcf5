"""Installed plugins: list them, show one, write a new one, check one.

Without an action: a table of all plugins, what each declares, and its state.
"""

from __future__ import annotations

import argparse
import importlib
import json
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from equipot.plugins import PluginHost


def actions() -> dict[str, tuple[str, str]]:
    """Name to module and summary; plugins declare ``plugins NAME``."""
    from equipot.plugins import plugins

    found = {"info": ("equipot._cli.plugins_info", "everything about one plugin")}
    for one in plugins().available("commands"):
        if one.entry.name.startswith("plugins "):
            found[one.entry.name.removeprefix("plugins ")] = (one.entry.target, one.entry.summary)
    return found


MOST_NAMES = 12
"""Longer lists are counted in the table."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the actions and their arguments."""
    parser.add_argument("--json", action="store_true", help="machine-readable output")
    known = actions()
    group = parser.add_subparsers(dest="action", metavar="ACTION", help="list (the default), " + ", ".join(known))
    listed = group.add_parser("list", help="the table of all plugins")
    listed.add_argument("--json", action="store_true", default=argparse.SUPPRESS, help="machine-readable output")
    for name, (path, summary) in known.items():
        module = importlib.import_module(path)
        action = group.add_parser(
            name,
            help=summary,
            description=(module.__doc__ or "").strip(),
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )
        module.add_arguments(action)


def run(args: argparse.Namespace) -> int:
    """Do the action, or list."""
    if args.action in (known := actions()):
        module: Any = importlib.import_module(known[args.action][0])
        code: int = module.run(args)
        return code
    from equipot._cli.common import show_plugin_warnings
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
    keys = ("id", "distribution", "version", "api", "declares", "state", "error", "notes")
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
