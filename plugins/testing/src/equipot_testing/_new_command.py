"""``equipot plugins new``."""

from __future__ import annotations

import click

from equipot_testing._scaffold import KINDS


@click.command
@click.argument("name")
@click.option("--kind", required=True, type=click.Choice(list(KINDS)), help="What kind of plugin to write.")
@click.option("--example", is_flag=True, help="Write a working example instead of a function to fill in.")
@click.option("--into", metavar="DIR", default=".", type=click.Path(), help="Folder to write into (default: this one).")
def command(*, name: str, kind: str, example: bool, into: str) -> None:
    """Write a new plugin: an installable package with one function to fill in, and tests for it.

    NAME consists of lower-case letters, digits and '-'; the package is called equipot-NAME. For example,
    'equipot plugins new morse --kind pair-potential' writes the folder equipot-morse.
    """
    from equipot_testing._scaffold import new_plugin

    made = new_plugin(name, kind, into, example=example)
    print(f"wrote {made.folder}: {kind} {made.component}")
    print("next:")
    print(f"  cd {made.folder}")
    print('  pip install -e ".[test]"')
    print(f"  {made.source}: " + (f"write {made.to_write}" if made.to_write else "change the example to your physics"))
    print("  pytest")
