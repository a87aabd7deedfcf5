"""``equipot md``."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from equipot.commands import Command, SeveralValues, named_values
from equipot.errors import ConfigError, problem
from equipot_simulate._many_options import many_of, many_options
from equipot_simulate._setup import checked, frame_options, frames_of, model_of, model_options, origin, output_of, say

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ase import Atoms

    from equipot_simulate._md import MdOptions
    from equipot_simulate._setup import ModelOptions


@click.command(
    cls=Command,
    epilog="\b\nequipot md model.equipot.zip cu.extxyz --temperature 600 --time 5 --output hot\n"
    "equipot md model.equipot.zip cu.extxyz --ensemble npt --pressure 1 --time 20 --output pressed --resume",
)
@model_options
@frame_options
@click.option("--ensemble", type=click.Choice(["nve", "nvt", "npt"]), default="nvt", help="Default: nvt.")
@click.option(
    "--thermostat",
    type=click.Choice(["langevin", "bussi", "nose-hoover"]),
    default="langevin",
    help="Of nvt (default: langevin); npt has Nosé-Hoover chains.",
)
@click.option("--temperature", type=float, default=300.0, metavar="K", help="Default: 300.")
@click.option("--pressure", type=float, default=0.0, metavar="GPA", help="Of npt, GPa (default: 0).")
@click.option("--cell", type=click.Choice(["isotropic", "free"]), default="isotropic", help="What npt may change.")
@click.option("--timestep", type=float, metavar="FS", help="Default: 0.5 with hydrogen, else 1.")
@click.option("--steps", type=int, metavar="N", help="Number of steps; or:")
@click.option("--time", "picoseconds", type=float, metavar="PS", help="Length of the run in ps.")
@click.option("--damping", type=float, default=100.0, metavar="FS", help="Time constant of the thermostat (100).")
@click.option(
    "--pressure-damping", type=float, default=1000.0, metavar="FS", help="Time constant of the barostat (1000)."
)
@click.option("--seed", type=int, default=1, metavar="N", help="Of velocities and thermostats (default: 1).")
@click.option("--keep-velocities", is_flag=True, help="Start with the velocities in the file.")
@click.option("--every", type=int, default=100, metavar="N", help="Steps between frames (default: 100).")
@click.option("--log-every", type=int, default=10, metavar="N", help="Steps between rows of log.csv (default: 10).")
@click.option("--trajectory", type=click.Choice(["extxyz", "traj"]), default="extxyz", help="Format of the frames.")
@click.option(
    "--max-temperature", type=float, default=1e5, metavar="K", help="Stop if an atom is faster than that (1e5)."
)
@click.option(
    "--stop-above",
    cls=SeveralValues,
    metavar="RESULT=VALUE...",
    help="End the run where a result of the model is larger, such as energy_std_per_atom=0.005 (eV) of a model with "
    "uncertainties; final.extxyz is the frame.",
)
@click.option("--resume", is_flag=True, help="Go on with the run in --output, if there is one.")
@many_options
def command(**given: Any) -> int:
    """Run molecular dynamics.

    MODEL is a checkpoint (.ckpt), package (.equipot.zip) or compiled file (.equipot.pt2); STRUCTURE a file of any
    format that training reads. The folder (default: STRUCTURE_md) gets results.json, log.csv, the trajectory, the last
    structure and md.png. Ctrl-C ends the run after its step; with --resume it goes on as if it had not been ended.

    A file with several frames is run frame by frame, each in its own folder, on --workers processes.
    """
    model = model_of(given, max_temperature=given["max_temperature"])
    structure, frame, repeat = given.pop("structure"), given.pop("frame"), given.pop("repeat")
    folder, many = output_of(given, structure, "md"), many_of(given)
    resume, overwrite = given.pop("resume"), given.pop("overwrite")
    frames = frames_of(structure, frame, repeat)
    options = _options(given, frames)
    from equipot_simulate._folder import result_folder

    with result_folder(folder, resume=resume, overwrite=overwrite):
        if len(frames) > 1:
            from equipot_simulate._many import run_many
            from equipot_simulate._tasks import MdTask

            source = origin(model.model, structure)
            needed = ["forces", *(["stress"] if options.needs_stress else [])]
            return run_many(MdTask(asdict(options), str(folder.resolve())), frames, model, needed, folder, source, many)
        return _run_one(model, frames[0], options, folder, structure)


def _options(given: dict[str, Any], frames: list[Atoms]) -> MdOptions:
    """The options; a ConfigError lists what is wrong with them."""
    from equipot_simulate._md import MdOptions, default_timestep, steps_of

    if given["timestep"] is None:
        given["timestep"] = default_timestep(frames)
    given["stop_above"] = _limits(given["stop_above"])
    steps = steps_of(given.pop("steps"), given.pop("picoseconds"), max(given["timestep"], 1e-12))
    return checked(MdOptions, {**given, "steps": steps})


def _limits(items: Iterable[str]) -> dict[str, float]:
    """Values of ``--stop-above``; a ConfigError if one is not a number."""
    found = named_values(items, "--stop-above", "energy_std_per_atom=0.005")
    try:
        return {name: float(value) for name, value in found.items()}
    except ValueError:
        raise ConfigError(problem("--stop-above", "must be RESULT=NUMBER", got=" ".join(items))) from None


def _run_one(model: ModelOptions, atoms: Atoms, options: MdOptions, folder: Path, structure: str) -> int:
    from equipot_simulate._md import Simulation
    from equipot_simulate._pacing import Pace
    from equipot_simulate._stopping import stopping

    atoms.calc = model.calculator("forces", *(["stress"] if options.needs_stress else []))
    with stopping() as stop:
        run = Simulation(atoms, options, folder, origin(model.model, structure, atoms))
        if run.step >= options.steps > 0:
            say(f"{folder}: all {options.steps} steps are done")
            return 0
        if run.step:
            say(f"going on after step {run.step}")
        begun, pace = run.step, Pace("md: step", options.steps, run.step)
        status = run.run(stop, pace)
        say(f"{status} after step {run.step} of {options.steps} ({pace.rate(run.step):.3g} steps/s); see {folder}")
        if status == "stopped":
            say(f"{run.reason}: {folder / 'final.extxyz'} is this frame")
        if status == "interrupted":
            say(f"interrupted by {stop.name} ({run.step - begun} steps in this part); go on with --resume")
    return stop.exit_code if status == "interrupted" else 0
