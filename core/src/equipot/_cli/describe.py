"""``equipot describe``."""

from __future__ import annotations

import click

from equipot._cli.common import print_table
from equipot.commands import complete_names


@click.command
@click.argument("name", shell_complete=complete_names())
def command(name: str) -> None:
    """Show the options of an installed component with type, default, unit and meaning.

    NAME is a short name (ZBL) or a path (equipot.pair_potentials.ZBL).
    """
    import inspect

    from equipot.config._components import find
    from equipot.describe import describe_options

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
