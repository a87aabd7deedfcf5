"""``equipot schema``."""

from __future__ import annotations

import json

import click

from equipot.commands import complete_names


@click.command
@click.argument("name", required=False, shell_complete=complete_names())
def command(name: str | None) -> None:
    """Print a JSON Schema of configs for editors and other tools.

    It covers all installed components, or with NAME (e.g. ZBL) only this one.
    """
    from equipot.config._components import find
    from equipot.config._schema import component_schema, config_schema

    if name is None:
        shown = config_schema()
    else:
        found = find(name)
        shown = component_schema(found[0]) if len(found) == 1 else {one.path: component_schema(one) for one in found}
    print(json.dumps(shown, indent=2, ensure_ascii=False))
