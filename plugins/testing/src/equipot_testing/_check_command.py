"""Run the conformance kit without writing a test: which laws a plugin breaks, by how much, where to read about it.

PLUGIN is the id or the distribution of an installed plugin, the folder of its project (whose
conformance tests say the options), or a Python file. With --calculator the laws of physics are
checked on any ASE calculator or torch-sim model instead. Exit code 0: all laws hold; 1: some are
broken; 2: nothing could be checked.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from equipot.errors import ConfigError, problem

if TYPE_CHECKING:
    from collections.abc import Iterable

    from equipot_testing._report import Section


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("subject", metavar="PLUGIN", nargs="?", default="", help="id, distribution, folder or file")
    parser.add_argument("--kind", default="", help="only declarations of this kind, e.g. pair_potentials")
    parser.add_argument("--name", default="", help="only the component of this name")
    parser.add_argument(
        "--option",
        metavar="KEY=VALUE",
        action="append",
        default=[],
        help="option the component is checked with, the value as in YAML (repeatable)",
    )
    parser.add_argument("--slow", action="store_true", help="export and compile too, about a minute each")
    parser.add_argument("--verbose", action="store_true", help="passed checks too, with what they measured")
    parser.add_argument(
        "--json", metavar="FILE", default="", help="write the result for programs; - is standard output"
    )
    parser.add_argument(
        "--badge", metavar="FILE", default="", help="write the result for an endpoint badge of shields.io"
    )
    other = parser.add_argument_group("calculators of other programs")
    other.add_argument(
        "--calculator", metavar="MODULE:FACTORY", default="", help="a function that returns the calculator or model"
    )
    other.add_argument("--elements", metavar="H,C,O", default="H,C,O", help="chemical symbols it knows")
    other.add_argument(
        "--dtype", choices=("auto", "float32", "float64"), default="auto", help="its precision; auto measures it"
    )
    other.add_argument(
        "--python",
        metavar="PROGRAM",
        default="",
        help="Python of the environment that has it; needs numpy and ase there",
    )


def run(args: argparse.Namespace) -> int:
    """Check and report."""
    from equipot_testing import _report as report

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


def _plugin(args: argparse.Namespace) -> Iterable[Section]:
    from equipot_testing._report import Section
    from equipot_testing._subjects import find_subjects
    from equipot_testing.run import run_checks

    found = find_subjects(args.subject, kind=args.kind, name=args.name, options=_options(args.option))
    for one in found:
        outcomes = None if one.kit is None else tuple(run_checks(one.kit, slow=args.slow))
        yield Section(one.kind, one.name, one.owner, one.remark, outcomes)


def _calculator(args: argparse.Namespace) -> Iterable[Section]:
    from equipot_testing._report import Section
    from equipot_testing.calculators._remote import outcomes_of

    elements = [element.strip() for element in args.elements.split(",") if element.strip()]
    outcomes = outcomes_of(args.calculator, elements=elements, dtype=args.dtype, python=args.python)
    owner = f"elements {' '.join(elements)}" + (f", in {args.python}" if args.python else "")
    yield Section("calculators", args.calculator, owner, "", tuple(outcomes))


def _options(given: list[str]) -> dict[str, Any]:
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
    text = json.dumps(data, indent=2, ensure_ascii=False) + "\n"
    if path == "-":
        sys.stdout.write(text)
        return
    from equipot.files import atomic

    with atomic(Path(path)) as temporary:
        temporary.write_text(text, encoding="utf-8")
