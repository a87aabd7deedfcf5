"""``equipot fit``."""

from __future__ import annotations

import atexit
import gc
import time
from pathlib import Path
from typing import Any

import click

from equipot.commands import Command, SeveralValues, option_names
from equipot.data.arguments import DATA_NAMES, data_of, data_options
from equipot.errors import ConfigError, problem

_READING = ("labels", "units", "label_weights", "unconverged", "species", "ase_args")


@click.command(cls=Command)
@click.argument("data", type=click.Path(), nargs=-1, required=True)
@click.option(
    "--minutes", type=float, metavar="N", help="Time for everything, to 5 %. Default: by the size of the data."
)
@click.option(
    "--test", cls=SeveralValues, type=click.Path(), metavar="FILE...", help="Files to test on, not to learn from."
)
@click.option("--preset", type=click.Choice(["S", "M", "L", "XL"]), help="Size of the model. Default: by the time.")
@click.option("--model", "family", type=click.Choice(["nequip", "allegro"]), help="Family. Default: by the data.")
@click.option("--output", type=click.Path(), metavar="RUN", help="Folder of the run (default: outputs/DATA/DATE_TIME).")
@click.option("--seed", type=click.IntRange(min=0), default=1, metavar="N", help="Seed of everything (default: 1).")
@click.option("--resume", type=click.Choice(["auto"]), help="Go on with the run in --output, if there is one.")
@click.option("--overwrite", is_flag=True, help="Write into a folder that already holds a run.")
@data_options
def command(**given: Any) -> int:
    """Make a potential of labelled structures: plan, train, test and report, within N minutes.

    DATA are files of any format that training reads. The folder of the run gets the model (model.equipot.zip), the
    plan that repeats it (plan.yaml), errors and a report. Ctrl-C leaves the best model so far.
    """
    begun = time.monotonic() - min(time.process_time(), 1.0)  # the start of Python counts, too
    atexit.register(gc.freeze)  # or the end of Python looks at half a million objects, which takes seconds
    from equipot_fit._fit import Fit, FitOptions, free_folder

    reading = data_of(None, **{name: given.pop(name) for name in _READING}).data_section()
    resume = given.pop("resume") is not None
    output, data, minutes = given.pop("output"), given["data"], given["minutes"]
    if minutes is not None and not 0.0 < minutes < float("inf"):
        raise ConfigError(problem("--minutes", "must be greater than 0", got=minutes))
    if resume and output is None:
        raise ConfigError(problem("--resume auto", "needs --output", hint="name the folder of the run"))
    if resume and given["overwrite"]:
        raise ConfigError(problem("--overwrite", "cannot be given together with --resume"))
    for path in (*data, *given["test"]):
        if not Path(path).exists():
            raise ConfigError(problem(path, "there is no such file"))
    folder = free_folder(data[0]) if output is None else Path(output)
    with option_names(DATA_NAMES):
        return Fit(FitOptions(**given, output=folder, resume=resume, reading=reading, begun=begun)).run()
