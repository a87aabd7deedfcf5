"""``equipot plugins check``."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import click

from equipot import files
from equipot.commands import complete_plugins
from equipot.errors import ConfigError, problem

if TYPE_CHECKING:
    from collections.abc import Iterable

    from equipot_testing._report import Section


@click.command
@click.argument("subject", metavar="[PLUGIN]", default="", shell_complete=complete_plugins)
@click.option("--kind", default="", help="Check only declarations of this kind, e.g. pair_potentials.")
@click.option("--name", default="", help="Check only the component of this name.")
@click.option(
    "--option",
    "options",
    metavar="KEY=VALUE",
    multiple=True,
    help="Option for the component, with a value in YAML. May be repeated.",
)
@click.option("--slow", is_flag=True, help="Also run the slow checks, about a minute each.")
@click.option("--verbose", is_flag=True, help="Also show passed checks, with the values they measured.")
@click.option("--json", metavar="FILE", default="", help="Write the result as JSON; - is standard output.")
@click.option("--badge", metavar="FILE", default="", help="Write the result for an endpoint badge of shields.io.")
@click.option(
    "--calculator",
    metavar="MODULE:FACTORY",
    default="",
    help="Check the calculator or model of any program that this function returns.",
)
@click.option("--elements", metavar="H,C,O", default="H,C,O", help="With --calculator: elements that it supports.")
@click.option(
    "--dtype",
    type=click.Choice(["auto", "float32", "float64"]),
    default="auto",
    help="With --calculator: its precision; auto measures it.",
)
@click.option(
    "--python",
    metavar="PROGRAM",
    default="",
    type=click.Path(),
    help="With --calculator: Python interpreter of its environment, which needs numpy and ase.",
)
def command(**given: Any) -> int:
    """Check a plugin without writing a test: which laws it breaks, by how much, and where to read about them.

    PLUGIN is the id or the distribution of an installed plugin, the folder of its project (whose conformance tests
    give the options), or a Python file. With --calculator, the laws of physics are checked on any ASE calculator or
    torch-sim model instead. The exit code is 0 if all laws hold, 1 if some are broken, 2 if nothing could be checked.
    """
    from equipot_testing import _report as report

    args = SimpleNamespace(**given)
    if bool(args.subject) == bool(args.calculator):
        hint = "give a plugin, or --calculator MODULE:FACTORY"
        raise ConfigError(problem("plugins check", "needs one thing to check", hint=hint))
    to_terminal = args.json != "-"
    sections = []
    for section in _calculator(args) if args.calculator else _plugin(args):
        sections.append(section)
        if to_terminal:
            print(report.in_words(section, verbose=args.verbose), flush=True)
    data = report.as_data(args.calculator or args.subject, sections)
    if args.json:
        _write(args.json, data)
    if args.badge:
        _write(args.badge, data["badge"])
    return report.exit_code(sections)


def _plugin(args: SimpleNamespace) -> Iterable[Section]:
    from equipot_testing._report import Section
    from equipot_testing._subjects import find_subjects
    from equipot_testing.run import run_checks

    found = find_subjects(args.subject, kind=args.kind, name=args.name, options=_options(args.options))
    for one in found:
        outcomes = None if one.kit is None else tuple(run_checks(one.kit, slow=args.slow))
        yield Section(one.kind, one.name, one.owner, one.remark, outcomes)


def _calculator(args: SimpleNamespace) -> Iterable[Section]:
    from equipot_testing._report import Section
    from equipot_testing.calculators._remote import outcomes_of

    elements = [element.strip() for element in args.elements.split(",") if element.strip()]
    outcomes = outcomes_of(args.calculator, elements=elements, dtype=args.dtype, python=args.python)
    owner = f"elements {' '.join(elements)}" + (f", in {args.python}" if args.python else "")
    yield Section("calculators", args.calculator, owner, "", tuple(outcomes))


def _options(given: Iterable[str]) -> dict[str, Any]:
    """Options from ``KEY=VALUE``, the value read as YAML."""
    import yaml

    options = {}
    for text in given:
        key, equals, value = text.partition("=")
        if not equals or not key.isidentifier():
            raise ConfigError(problem("--option", "must be KEY=VALUE", got=text))
        options[key] = yaml.safe_load(value)
    return options


def _write(path: str, data: dict[str, Any]) -> None:
    if path == "-":
        print(json.dumps(data, indent=2, ensure_ascii=False))
    else:
        files.write_json(path, data)
