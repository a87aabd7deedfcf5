"""``equipot infrared``."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from equipot.commands import Command, option_names
from equipot.errors import DataError, problem
from equipot_simulate._setup import checked, output_of, say


@click.command(
    cls=Command,
    epilog="\b\nequipot md model.equipot.zip ethanol.extxyz --ensemble nve --time 10 --every 4 --output run\n"
    "equipot infrared run/trajectory.extxyz",
)
@click.argument("trajectories", nargs=-1, required=True, type=click.Path())
@click.option("--output", type=click.Path(), metavar="DIR", help="Folder of the results; default: see below.")
@click.option("--overwrite", is_flag=True, help="Replace results that are there already.")
@click.option("--temperature", type=float, default=300.0, metavar="K", help="Of the runs (default: 300).")
@click.option("--resolution", type=float, default=20.0, metavar="PER_CM", help="Width of sharp lines, 1/cm (20).")
@click.option("--highest", type=float, default=4000.0, metavar="PER_CM", help="End of the spectrum, 1/cm (4000).")
@click.option("--interval", type=float, metavar="FS", help="Time between frames, for files that do not say it.")
def command(**given: Any) -> None:
    """Compute the infrared spectrum of a molecule from runs of molecular dynamics with dipole moments.

    TRAJECTORIES are those of runs of the same molecule by 'equipot md', with frames at most 4 fs apart, or other files
    that ASE reads with dipole moments in e Å; their spectra are averaged. The folder (default: TRAJECTORY_infrared)
    gets results.json with the peaks, infrared.csv and infrared.png.
    """
    from equipot.data import read_atoms
    from equipot.files import file_digest, write_json
    from equipot_simulate._folder import RESULTS, result_folder
    from equipot_simulate._infrared import InfraredOptions, dipoles_of, draw, interval_of, spectrum_of, write_table

    paths = given.pop("trajectories")
    folder, overwrite = output_of(given, paths[0], "infrared"), given.pop("overwrite")
    options = checked(InfraredOptions, given)
    runs, intervals, formulas = [], [], []
    for path in paths:
        with option_names({}):
            frames = read_atoms(path)
        intervals.append(interval_of(frames, path, options.interval))
        runs.append(dipoles_of(frames, path))
        formulas.append(frames[0].get_chemical_formula())
    for what, values in (("the same interval of frames", intervals), ("the same molecule", formulas)):
        if len(set(values)) > 1:
            raise DataError(problem("infrared", f"all runs must have {what}", got=values))
    found = spectrum_of(runs, intervals[0], options)
    with result_folder(folder, resume=False, overwrite=overwrite):
        made = found.record()
        write_table(found, folder / "infrared.csv")
        draw(found, folder / "infrared.png", formulas[0])
        picoseconds = sum(len(one) for one in runs) * intervals[0] / 1000.0
        files = [{"file": Path(path).name, "sha256": file_digest(path)} for path in paths]
        source = {"trajectories": files, "formula": formulas[0], "interval_fs": intervals[0], "time_ps": picoseconds}
        write_json(folder / RESULTS, {"command": "infrared", **source, "options": asdict(options), **made})
        peaks = ", ".join(f"{one['wavenumber_per_cm']:.0f}" for one in made["peaks"])
        say(f"{len(runs)} run{'s' * (len(runs) > 1)}, {picoseconds:.3g} ps; peaks at {peaks} 1/cm; see {folder}")
