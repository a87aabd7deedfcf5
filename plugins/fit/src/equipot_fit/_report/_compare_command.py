"""``equipot compare``."""

# ruff: noqa: T201 (a command prints)

from __future__ import annotations

import json
import sys
from pathlib import Path

import click

from equipot.errors import ConfigError, problem


@click.command(epilog="\b\nequipot compare outputs/first outputs/second --output comparison.html")
@click.argument("runs", type=click.Path(), nargs=-1, required=True, metavar="RUN RUN...")
@click.option("--output", type=click.Path(), metavar="FILE", help="Also write the table as an HTML file.")
@click.option("--json", "as_json", is_flag=True, help="Print everything as JSON.")
@click.option("--speed/--no-speed", default=True, help="Time the models on this machine (default), or not.")
def command(*, runs: tuple[str, ...], output: str | None, as_json: bool, speed: bool) -> None:
    """Compare runs: data, model, parameters, time of training, errors and speed, side by side.

    RUN are folders of equipot train or equipot fit. Where the sets of the runs differ, their errors are shown but
    none is called the best.
    """
    if len(runs) < 2:
        raise ConfigError(problem("equipot compare", "needs two runs or more", got=list(runs)))
    if len({Path(one).resolve() for one in runs}) < len(runs):
        raise ConfigError(problem("equipot compare", "a run is given twice", got=list(runs)))
    if output is not None and Path(output).suffix not in (".html", ".htm"):
        raise ConfigError(problem("--output", "must end in .html", got=output))
    from equipot.files import write_text
    from equipot_fit._report._compare import compared
    from equipot_fit._report._compare_page import html, text

    found = compared(runs, speed=speed)
    if output is not None:
        write_text(output, html(found))
    if as_json:
        print(json.dumps(found, indent=2, ensure_ascii=False))
        return
    print(text(found, bold=sys.stdout.isatty()))
    if output is not None:
        print(f"wrote {output}")
