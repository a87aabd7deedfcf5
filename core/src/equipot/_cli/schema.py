"""``equipot schema``."""

from __future__ import annotations

import json

import click

from equipot.commands import complete_names


@click.command
@click.argument("name", required=False, shell_complete=complete_names())
def command(name: str | None) -> None:
    """Print the JSON Schema of configs with the installed components, for editors and other tools.

    With NAME, e.g. ZBL, print the schema of this component only.
    """
    from equipot.config._components import find
    from equipot.config._schema import component_schema, config_schema

    if name is None:
        shown = config_schema()
    else:
        found = find(name)
        shown = component_schema(found[0]) if len(found) == 1 else {one.path: component_schema(one) for one in found}
    print(json.dumps(shown, indent=2, ensure_ascii=False))
