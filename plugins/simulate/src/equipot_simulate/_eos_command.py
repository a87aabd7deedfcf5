"""``equipot eos``."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import click

from equipot.commands import Command
from equipot_simulate._setup import checked, frame_options, model_of, model_options, one_frame, origin, output_of, say


@click.command(cls=Command, epilog="\b\nequipot eos model.equipot.zip cu.extxyz --points 11")
@model_options
@frame_options
@click.option("--points", type=int, default=9, metavar="N", help="Volumes (default: 9).")
@click.option("--width", type=float, default=0.06, metavar="X", help="Largest relative change of the volume (0.06).")
@click.option(
    "--shape", type=click.Choice(["fixed", "free"]), default="fixed", help="Also relax the shape of the cell."
)
@click.option(
    "--relax", type=click.Choice(["none", "positions", "cell"]), default="cell", help="What to relax first (cell)."
)
@click.option("--fmax", type=float, default=0.001, metavar="EV_PER_A", help="Of relaxations (default: 0.001).")
def command(**given: Any) -> None:
    """Compute the equation of state of a crystal: energy by volume, V0, bulk modulus B0 and its derivative.

    The folder (default: STRUCTURE_eos) gets results.json, the structures (volumes.extxyz) and eos.png.
    """
    from equipot.files import write_json
    from equipot_simulate._eos import EosOptions, draw, equation_of_state
    from equipot_simulate._folder import RESULTS, result_folder
    from equipot_simulate._relax import start_relaxed
    from equipot_simulate._trajectory import ExtxyzFile

    model = model_of(given)
    structure, frame, repeat = given.pop("structure"), given.pop("frame"), given.pop("repeat")
    folder, overwrite = output_of(given, structure, "eos"), given.pop("overwrite")
    options = checked(EosOptions, given)
    atoms = one_frame(structure, frame, repeat, what="an equation of state")
    with result_folder(folder, resume=False, overwrite=overwrite):
        source = origin(model.model, structure, atoms)
        cell = options.relax == "cell" or options.shape == "free"
        atoms.calc = model.calculator("forces", *(["stress"] if cell else []))
        relaxed = start_relaxed(atoms, options.relax, options.fmax)
        found = equation_of_state(atoms, options)
        for one in found.frames:
            ExtxyzFile(folder / "volumes.extxyz").frame(one)
        draw(found, folder / "eos.png", atoms.get_chemical_formula())
        record = found.record(len(atoms))
        write_json(
            folder / RESULTS, {"command": "eos", **source, "options": asdict(options), "relaxed": relaxed, **record}
        )
        say(f"V0 {record['volume_a3_per_atom']:.5g} Å³/atom, B0 {record['bulk_modulus_gpa']:.5g} GPa, "
            f"B0' {record['bulk_modulus_derivative']:.4g}; see {folder}")  # fmt: skip
