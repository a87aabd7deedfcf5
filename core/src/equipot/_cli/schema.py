"""JSON Schema of configs with the installed components, for editors and other tools."""

from __future__ import annotations

import argparse
import json


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("name", nargs="?", metavar="NAME", help="only this component, e.g. ZBL")


def run(args: argparse.Namespace) -> int:
    """Print the schema."""
    from equipot.config._components import find
    from equipot.config._schema import component_schema, config_schema

    if args.name is None:
        shown = config_schema()
    else:
        found = find(args.name)
        shown = component_schema(found[0]) if len(found) == 1 else {one.path: component_schema(one) for one in found}
    print(json.dumps(shown, indent=2, ensure_ascii=False))
    return 0
