"""``equipot phonons``."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import click

from equipot.commands import Command
from equipot_simulate._setup import (
    checked,
    frame_options,
    model_of,
    model_options,
    note,
    one_frame,
    origin,
    output_of,
    say,
)


@click.command(cls=Command, epilog="\b\nequipot phonons model.equipot.zip cu.extxyz --supercell 4 4 4")
@model_options
@frame_options
@click.option(
    "--supercell", type=int, nargs=3, metavar="N N N", help="Repetitions of the cell; default: at least 10 Å each."
)
@click.option("--displacement", type=float, default=0.01, metavar="A", help="Of atoms, Å (default: 0.01).")
@click.option("--mesh", type=float, default=60.0, metavar="A", help="Density of wave vectors, as phonopy's (60).")
@click.option(
    "--temperatures", type=float, nargs=3, default=(0.0, 1000.0, 10.0), metavar="K K K", help="First, last and step."
)
@click.option("--points", type=int, default=200, metavar="N", help="Wave vectors along the path (default: 200).")
@click.option(
    "--relax", type=click.Choice(["none", "positions", "cell"]), default="positions", help="First (positions)."
)
@click.option("--fmax", type=float, default=1e-4, metavar="EV_PER_A", help="Of that relaxation (default: 0.0001).")
def command(**given: Any) -> None:
    """Compute phonons of a crystal: bands, density of states, free energy, entropy and heat capacity.

    The folder (default: STRUCTURE_phonons) gets results.json, bands.csv, dos.csv, thermal.csv, the relaxed structure,
    phonopy.yaml for further work with phonopy, and phonons.png. Needs phonopy: pip install
    'equipot-simulate[phonons]'.
    """
    from equipot.files import write_json
    from equipot_simulate._folder import RESULTS, result_folder
    from equipot_simulate._phonons import PhononOptions, default_supercell, draw, phonons_of, record, write_tables
    from equipot_simulate._relax import start_relaxed
    from equipot_simulate._trajectory import ExtxyzFile, with_results

    model = model_of(given)
    structure, frame, repeat = given.pop("structure"), given.pop("frame"), given.pop("repeat")
    folder, overwrite = output_of(given, structure, "phonons"), given.pop("overwrite")
    atoms = one_frame(structure, frame, repeat, what="phonons")
    given["supercell"] = given["supercell"] or default_supercell(atoms)
    options = checked(PhononOptions, given)
    with result_folder(folder, resume=False, overwrite=overwrite):
        source = origin(model.model, structure, atoms)
        atoms.calc = model.calculator("forces", *(["stress"] if options.relax == "cell" else []))
        relaxed = start_relaxed(atoms, options.relax, options.fmax)
        if relaxed["largest_force_ev_per_a"] > 0.01:
            note(f"warning: there are forces of {relaxed['largest_force_ev_per_a']:.3g} eV/Å: not relaxed")
        ExtxyzFile(folder / "relaxed.extxyz").frame(with_results(atoms))
        found = phonons_of(atoms, options)
        made = record(found)
        write_tables(found, folder)
        draw(found, folder / "phonons.png", atoms.get_chemical_formula())
        results = {"command": "phonons", **source, "options": asdict(options), "relaxed": relaxed, **made}
        write_json(folder / RESULTS, results)
        say(f"{made['displacements']} displacements in {made['supercell_atoms']} atoms; frequencies from "
            f"{made['lowest_frequency_thz']:.4g} to {made['highest_frequency_thz']:.4g} THz; see {folder}")  # fmt: skip
        if not made["stable"]:
            note("warning: there are imaginary frequencies (negative here): the structure is not in a minimum, "
                 "or supercell, displacement or --fmax do not suffice")  # fmt: skip
