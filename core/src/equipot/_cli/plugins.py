"""``equipot plugins``: a group, whose commands are declared as ``plugins NAME``."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from equipot._cli.common import print_table, show_plugin_warnings
from equipot._cli.main import DeclaredGroup

if TYPE_CHECKING:
    from equipot.plugins import PluginHost

MOST_NAMES = 12
"""Longer lists are counted in the table."""


@click.group(cls=DeclaredGroup, prefix="plugins ", invoke_without_command=True)
@click.option("--json", "as_json", is_flag=True, help="Print the list as JSON.")
@click.pass_context
def command(context: click.Context, *, as_json: bool) -> None:
    """List installed plugins, show one, write a new one, or check one.

    Without a command: a table of all plugins, what each declares, and its state.
    """
    if context.invoked_subcommand is None:
        context.invoke(list_command, as_json=as_json)


@click.command
@click.option("--json", "as_json", is_flag=True, help="Print the list as JSON.")
@click.pass_context
def list_command(context: click.Context, *, as_json: bool) -> None:
    """Show a table of all plugins, what each declares, and its state."""
    from equipot.plugins import plugins

    host = plugins()
    if as_json or (context.parent is not None and context.parent.params.get("as_json")):  # of plugins --json list
        print(json.dumps(listing(host), indent=2))
    else:
        _print_table(host)
        show_plugin_warnings()


def listing(host: PluginHost) -> list[dict[str, Any]]:
    """One mapping for each plugin, as ``--json`` prints it."""
    keys = ("id", "distribution", "version", "api", "declares", "state", "error", "notes")
    return [{key: asdict(record)[key] for key in keys} for record in host.records]


def _shown(names: list[str]) -> str:
    return ", ".join(names) if len(names) <= MOST_NAMES else f"{len(names)} names (--json lists them)"


def _print_table(host: PluginHost) -> None:
    rows = []
    for record in host.records:
        lines = [f"{kind.replace('_', ' ')}: {_shown(names)}" for kind, names in sorted(record.declares.items())]
        rows.append((record.id, record.distribution, record.version, record.api, "\n".join(lines), record.state))
    print_table(rows, header=("id", "distribution", "version", "API", "declares", "state"))
    for name, items in host.ambiguous().items():
        owners = " and ".join(f"{item.distribution} {item.version}" for item in items)
        print(f"ambiguous: {name} is declared by {owners}; use the full path of one of them")
