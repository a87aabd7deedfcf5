"""``equipot plugins info``."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from equipot.commands import complete_plugins

if TYPE_CHECKING:
    from equipot._host.discovery import PluginRecord
    from equipot.plugins import PluginHost


@click.command
@click.argument("name", metavar="ID", shell_complete=complete_plugins)
@click.option("--json", "as_json", is_flag=True, help="Print the facts as JSON.")
def command(*, name: str, as_json: bool) -> None:
    """Show everything about one plugin: what it needs, what it declares, its state and errors.

    ID is that of 'equipot plugins', or the plugin's distribution.
    """
    from equipot.errors import ConfigError, unknown
    from equipot.plugins import plugins

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
    """What is known of a plugin, from its record, its metadata and its declarations."""
    from equipot.plugins import HOOKS

    declared = {
        kind: {
            item.entry.name: {
                "summary": item.entry.summary,
                "target": item.entry.target,
                "deprecated": item.entry.deprecated,
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


def _metadata(distribution: str) -> dict[str, Any]:
    from importlib import metadata

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
                print(f"  {name}: {entry['summary']} ({entry['target'] or 'no target'}){deprecated}")
    elif isinstance(value, list):
        print(f"{key}: {'; '.join(value)}") if value else None
    elif value:
        print(f"{key}: {value}")
