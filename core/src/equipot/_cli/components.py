"""``equipot describe`` and ``equipot schema``: what the installed components accept."""

from __future__ import annotations

import json

import click

from equipot._cli.common import print_table
from equipot._host.declaration import singular
from equipot.commands import complete_names


@click.command
@click.argument("name", required=False, shell_complete=complete_names())
def describe(name: str | None) -> None:
    """Show the options of an installed component with type, default, unit and meaning.

    NAME is a short name (ZBL) or a path (equipot.pair_potentials.ZBL). Without it: a table of everything that configs
    may name, with its kind.
    """
    import inspect

    from equipot.config._components import find
    from equipot.config._targets import declarations
    from equipot.describe import describe_options

    if name is None:
        found = sorted(declarations(), key=lambda one: (one.fine_kind, one.path))
        rows = [(singular(one.fine_kind), one.path, one.distribution, one.entry.summary) for one in found]
        print_table(rows, header=("kind", "name", "distribution", "summary"))
        return
    for component in find(name):
        print(f"{component.path}  ({component.origin})")
        summary = (inspect.getdoc(component.target) or "").split("\n\n")[0]
        print(" ".join(summary.split()))
        print_table(
            [
                (option.name, option.annotation, option.default or "required", option.unit, option.doc)
                for option in describe_options(component.target)
            ],
            header=("option", "type", "default", "unit", "meaning"),
        )


@click.command
@click.argument("name", required=False, shell_complete=complete_names())
def schema(name: str | None) -> None:
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
