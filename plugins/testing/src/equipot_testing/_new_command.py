"""Write a new plugin: an installable package with one function to fill in, and the tests that check it.

Example: equipot plugins new morse --kind pair-potential writes the folder equipot-morse.
"""

from __future__ import annotations

import argparse

from equipot_testing._scaffold import KINDS


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("name", metavar="NAME", help="small letters, digits and '-'; the package is equipot-NAME")
    parser.add_argument("--kind", required=True, choices=tuple(KINDS), help="what the plugin brings")
    parser.add_argument(
        "--example", action="store_true", help="with working physics in place of the function to fill in"
    )
    parser.add_argument("--into", metavar="DIR", default=".", help="folder to write into (default: this one)")


def run(args: argparse.Namespace) -> int:
    """Write the package and say what comes next."""
    from equipot_testing._scaffold import new_plugin

    made = new_plugin(args.name, args.kind, args.into, example=args.example)
    print(f"wrote {made.folder}: {args.kind} {made.component}")
    print("next:")
    print(f"  cd {made.folder}")
    print('  pip install -e ".[test]"')
    print(f"  {made.source}: " + (f"write {made.to_write}" if made.to_write else "change the example to your physics"))
    print("  pytest")
    return 0
