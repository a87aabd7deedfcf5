"""``equipot new``: the config that ``equipot fit`` would train."""

from __future__ import annotations

import sys
from typing import Any

import click

from equipot.commands import Command, SeveralValues, option_names
from equipot.data.arguments import DATA_NAMES, data_of, data_options

_NAMES = {**DATA_NAMES, "data.accept": "--accept"}


@click.command(
    cls=Command,
    epilog="\b\nequipot new frames.extxyz > config.yaml\nequipot train config.yaml",
)
@click.argument("files", nargs=-1, type=click.Path(), metavar="DATA...")
@click.option(
    "--minutes", type=float, metavar="N", help="Time of the whole training (default: by the size of the data)."
)
@click.option("--preset", metavar="S|M|L|XL", help="Size of the model (default: the largest that the time allows).")
@click.option("--model", metavar="nequip|allegro", help="Family of the model (default: by the data).")
@click.option("--test", cls=SeveralValues, metavar="FILE...", help="Files for testing; nothing is learnt from them.")
@click.option(
    "--seed",
    type=click.IntRange(min=0),
    default=1,
    metavar="N",
    help="Seed of the split and the first weights (default: 1).",
)
@click.option("--full", is_flag=True, help="Also write what equals the defaults.")
@click.option("--output", type=click.Path(), metavar="FILE", help="Write to a file that does not exist yet.")
@data_options
@click.option("--accept", multiple=True, metavar="CODE", help="Accept a finding of the checks. May be repeated.")
def command(**given: Any) -> None:
    """Write a config for labelled data to standard output, each choice with its reason; nothing is trained.

    DATA are files of any format that training reads; several are taken together. Labels that are not under ASE's names
    are looked for by what their keys are called. The same data and options give the same config.
    """
    from equipot.files import write_text
    from equipot_fit._facts import gather
    from equipot_fit._plan import make_plan

    own = {name: given.pop(name) for name in ("files", "minutes", "preset", "model", "test", "seed", "full", "output")}
    accept = list(given.pop("accept"))
    options = data_of(None, **given).data_section()
    if own["output"] is not None:
        _require_new(own["output"])
    with option_names(_NAMES):
        facts = gather(own["files"], test=own["test"], options={**options, **({"accept": accept} if accept else {})})
    plan = make_plan(facts, own["minutes"], preset=own["preset"], family=own["model"], seed=own["seed"])
    for text in (*facts.findings, *plan.notes(facts)):
        _note(text)
    if own["output"] is None:
        sys.stdout.write(plan.text(full=own["full"]))
    else:
        write_text(own["output"], plan.text(full=own["full"]))
        _note(f"wrote {own['output']}; next: equipot train {own['output']}")


def _require_new(output: str) -> None:
    from pathlib import Path

    from equipot.errors import ConfigError, problem

    if Path(output).exists():
        raise ConfigError(problem("--output", "exists already", got=output, hint="choose another name, or remove it"))


def _note(text: str) -> None:
    from equipot.errors import printable

    sys.stderr.write(printable(f"note: {text}") + "\n")
