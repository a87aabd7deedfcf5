"""``equipot learning-curve``."""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import Any

import click

from equipot.commands import Command, SeveralValues, named_values, option_names
from equipot.data.arguments import DATA_NAMES, data_of, data_options
from equipot.errors import ConfigError, problem, unknown

_READING = ("labels", "units", "label_weights", "unconverged", "species", "ase_args")
_QUANTITIES = {"energy": "per_atom_energy", "forces": "forces", "stress": "stress"}


@click.command(
    cls=Command,
    epilog="\b\nequipot learning-curve frames.extxyz --minutes 30 --target forces=20 energy=1",
)
@click.argument("data", type=click.Path(), nargs=-1, required=True)
@click.option("--sizes", cls=SeveralValues, metavar="N...", help="Numbers of frames to learn from.")
@click.option(
    "--points",
    type=click.IntRange(2, 20),
    metavar="N",
    help="How many numbers of frames are tried if none are given (default: 5, each twice the one before).",
)
@click.option(
    "--minutes", type=float, metavar="N", help="Time for everything, shared equally. Default: by the size of the data."
)
@click.option(
    "--seeds", type=click.IntRange(1, 100), default=1, metavar="N", help="Trainings of each size (default: 1)."
)
@click.option(
    "--target", cls=SeveralValues, metavar="NAME=X...", help="Errors to reach: energy, forces, stress (meV, Å)."
)
@click.option(
    "--test", cls=SeveralValues, type=click.Path(), metavar="FILE...", help="Files to test on, not to learn from."
)
@click.option("--preset", type=click.Choice(["S", "M", "L", "XL"]), help="Size of the model. Default: by the time.")
@click.option("--model", "family", type=click.Choice(["nequip", "allegro"]), help="Family. Default: by the data.")
@click.option("--output", type=click.Path(), metavar="FOLDER", help="Default: outputs/DATA_curve/DATE_TIME.")
@click.option("--seed", type=click.IntRange(min=0), default=1, metavar="N", help="The first seed (default: 1).")
@click.option("--resume", type=click.Choice(["auto"]), help="Go on with the curve in --output, if there is one.")
@click.option("--overwrite", is_flag=True, help="Write into a folder that already holds a run.")
@data_options
def command(**given: Any) -> int:
    """Train on growing parts of the data, and say how the errors fall and what more frames would give.

    DATA are files as for equipot fit, and each training is one of equipot fit, without its report. The parts are
    nested, and are compared on the same frames. The folder gets learning-curve.html and results.json.
    """
    begun = time.monotonic()  # before torch is imported
    from equipot_fit._fit import free_folder
    from equipot_fit._learning_curve import POINTS, CurveOptions, LearningCurve

    reading = data_of(None, **{name: given.pop(name) for name in _READING}).data_section()
    resume, output, minutes = given.pop("resume") is not None, given.pop("output"), given["minutes"]
    sizes, targets, points = _sizes(given.pop("sizes")), _targets(given.pop("target")), given.pop("points")
    if minutes is not None and not 0.0 < minutes < float("inf"):
        raise ConfigError(problem("--minutes", "must be greater than 0", got=minutes))
    if sizes and points is not None:
        raise ConfigError(problem("--points", "cannot be given together with --sizes"))
    if resume and output is None:
        raise ConfigError(problem("--resume auto", "needs --output", hint="name the folder of the learning curve"))
    if resume and given["overwrite"]:
        raise ConfigError(problem("--overwrite", "cannot be given together with --resume"))
    for path in (*given["data"], *given["test"]):
        if not Path(path).exists():
            raise ConfigError(problem(path, "there is no such file"))
    folder = free_folder(f"{Path(given['data'][0]).stem}_curve") if output is None else Path(output)
    with option_names(DATA_NAMES):
        options = CurveOptions(
            **given, output=folder, sizes=sizes, points=points or POINTS, targets=targets, resume=resume,
            reading=reading, begun=begun,
        )  # fmt: skip
        return LearningCurve(options).run()


def _sizes(given: tuple[str, ...]) -> tuple[int, ...]:
    if wrong := [one for one in given if not one.isdecimal() or not 0 < int(one[:12]) < 10**9]:
        raise ConfigError(problem("--sizes", "must be numbers of frames", got=wrong[0], hint="for example 50 100 200"))
    return tuple(int(one) for one in given)


def _targets(given: tuple[str, ...]) -> dict[str, float]:
    """Errors in meV and Å by the name of the quantity."""
    found = {}
    for name, text in named_values(given, "--target", "forces=20").items():
        if name not in _QUANTITIES:
            raise ConfigError(unknown("--target", name, _QUANTITIES, "quantity"))
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not 0.0 < value < math.inf:
            raise ConfigError(problem("--target", f"the error of {name} must be a number greater than 0", got=text))
        found[_QUANTITIES[name]] = value
    return found
