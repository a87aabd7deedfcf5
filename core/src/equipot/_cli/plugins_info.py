"""Everything about one plugin: distribution, version, what it needs, what it declares, state and errors."""

from __future__ import annotations

import argparse
import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from equipot._host.discovery import PluginRecord
    from equipot.plugins import PluginHost


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    plugin = parser.add_argument("id", metavar="ID", help="id of the plugin, as equipot plugins lists it")
    plugin.completer = _ids  # type: ignore[attr-defined] # what argcomplete calls
    parser.add_argument("--json", action="store_true", help="machine-readable output")


def _ids(**_context: object) -> list[str]:
    from equipot.plugins import plugins

    return [record.id for record in plugins().records]


def run(args: argparse.Namespace) -> int:
    """Print the facts of each plugin with the id."""
    from equipot.errors import ConfigError, did_you_mean, problem
    from equipot.plugins import plugins

    host = plugins()
    found = [facts(host, record) for record in host.records if args.id in (record.id, record.distribution)]
    if not found:
        ids = [record.id for record in host.records]
        hint = did_you_mean(args.id, ids) or f"installed: {', '.join(ids)}"
        raise ConfigError(problem("equipot plugins info", "no plugin has this id", got=args.id, hint=hint))
    if args.json:
        print(json.dumps(found, indent=2))
        return 0
    for one in found:
        for key, value in one.items():
            _print(key, value)
    return 0


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
