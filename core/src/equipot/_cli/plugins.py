"""``equipot plugins`` with its commands ``list`` and ``info``; plugins may declare more as ``plugins NAME``."""

from __future__ import annotations

import json
from dataclasses import asdict
from importlib import metadata
from typing import Any

import click

from equipot._cli.common import print_table, show_plugin_warnings
from equipot._cli.main import DeclaredGroup
from equipot._host.declaration import singular
from equipot.commands import complete_plugins
from equipot.declarations import FieldEntry, PartEntry
from equipot.errors import ConfigError, unknown
from equipot.plugins import HOOKS, PluginHost, PluginRecord, plugins


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
    return ", ".join(names) if len(names) <= 12 else f"{len(names)} names ('info' and --json list them)"


def _print_table(host: PluginHost) -> None:
    rows = []
    for record in host.records:
        lines = [f"{kind.replace('_', ' ')}: {_shown(names)}" for kind, names in sorted(record.declares.items())]
        rows.append((record.id, record.distribution, record.version, record.api, "\n".join(lines), record.state))
    print_table(rows, header=("id", "distribution", "version", "API", "declares", "state"))
    for name, items in host.ambiguous().items():
        owners = " and ".join(f"{item.distribution} {item.version}" for item in items)
        print(f"ambiguous: {name} is declared by {owners}; use the full path of one of them")


@click.command
@click.argument("name", metavar="ID", shell_complete=complete_plugins)
@click.option("--json", "as_json", is_flag=True, help="Print the facts as JSON.")
def info_command(*, name: str, as_json: bool) -> None:
    """Show what a plugin needs and declares, its state and its errors.

    ID is the plugin's id in the list of 'equipot plugins', or its distribution.
    """
    host = plugins()
    found = [facts(host, record) for record in host.records if name in (record.id, record.distribution)]
    if not found:
        raise ConfigError(unknown("equipot plugins info", name, [record.id for record in host.records], "plugin"))
    if as_json:
        print(json.dumps(found, indent=2))
        return
    for one in found:
        for key, value in one.items():
            _print(key, value)


def facts(host: PluginHost, record: PluginRecord) -> dict[str, Any]:
    """Collect what the record, metadata and declarations say about a plugin."""
    declared = {
        kind: {
            item.entry.name: {
                **({"kind": item.entry.kind} if isinstance(item.entry, PartEntry) else {}),
                **(field_facts(item.entry) if isinstance(item.entry, FieldEntry) else {}),
                **{key: getattr(item.entry, key) for key in ("summary", "target", "deprecated")},
            }
            for item in host.declarations(kind)
            if item.plugin == record.id
        }
        for kind in HOOKS
    }
    return {
        "id": record.id,
        "distribution": record.distribution,
        "version": record.version,
        **_metadata(record.distribution),
        "api": record.api,
        "module": record.target,
        "state": record.state,
        "error": record.error,
        "notes": record.notes,
        "declares": {kind: names for kind, names in declared.items() if names},
    }


def field_facts(entry: FieldEntry) -> dict[str, Any]:
    """What a data field is, without its meaning."""
    keys = ("per", "shape", "dtype", "unit", "irreps", "label", "ase_property", "extensive")
    return {key: getattr(entry, key) for key in keys}


def _metadata(distribution: str) -> dict[str, Any]:
    try:
        found = metadata.metadata(distribution).json
    except metadata.PackageNotFoundError:  # a local file
        return {}
    requires = [str(line) for line in found.get("requires_dist", [])]
    return {
        "summary": found.get("summary", ""),
        "license": found.get("license_expression") or found.get("license", ""),
        "links": found.get("project_url", []),
        "requires": [line for line in requires if "extra ==" not in line],
    }


def _print(key: str, value: Any) -> None:
    if key == "declares":
        for kind, names in value.items():
            print(f"{kind.replace('_', ' ')}:")
            for name, entry in names.items():
                deprecated = f"; deprecated: {entry['deprecated']}" if entry["deprecated"] else ""
                print(f"  {name}: {entry['summary']} ({_note(entry)}){deprecated}")
    elif isinstance(value, list):
        print(f"{key}: {'; '.join(value)}") if value else None
    elif value:
        print(f"{key}: {value}")


def _note(entry: dict[str, Any]) -> str:
    """The kind of a part, what a field is per, the target of others."""
    if "per" in entry:
        return ", ".join(
            ["label" if entry["label"] else "field", f"per {entry['per']}", *filter(None, [entry["unit"]])]
        )
    return singular(entry["kind"]) if "kind" in entry else entry["target"] or "no target"
