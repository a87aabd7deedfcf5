"""``equipot elastic``."""

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

_TOLERANCE = 0.05
"""Relative difference of the two bulk moduli that is worth a warning."""


@click.command(cls=Command, epilog="\b\nequipot elastic model.equipot.zip cu.extxyz --strain 0.005")
@model_options
@frame_options
@click.option("--strain", type=float, default=0.01, metavar="X", help="Largest strain (default: 0.01).")
@click.option("--ions", type=click.Choice(["relaxed", "clamped"]), default="relaxed", help="In strained cells.")
@click.option(
    "--relax", type=click.Choice(["none", "positions", "cell"]), default="cell", help="What to relax first (cell)."
)
@click.option("--fmax", type=float, default=0.001, metavar="EV_PER_A", help="Of relaxations (default: 0.001).")
def command(**given: Any) -> None:
    """Compute the elastic constants of a crystal, with the bulk and shear moduli of a polycrystal.

    The bulk modulus is computed again by energies of scaled cells, and the difference is said. The folder (default:
    STRUCTURE_elastic) gets results.json, the relaxed structure and elastic.png. Needs matcalc: pip install
    'equipot-simulate[elastic]'.
    """
    from equipot.files import write_json
    from equipot_simulate._elastic import ElasticOptions, cross_check, draw, moduli, stiffness
    from equipot_simulate._folder import RESULTS, result_folder
    from equipot_simulate._relax import start_relaxed
    from equipot_simulate._trajectory import ExtxyzFile, with_results

    model = model_of(given)
    structure, frame, repeat = given.pop("structure"), given.pop("frame"), given.pop("repeat")
    folder, overwrite = output_of(given, structure, "elastic"), given.pop("overwrite")
    options = checked(ElasticOptions, given)
    atoms = one_frame(structure, frame, repeat, what="elasticity")
    with result_folder(folder, resume=False, overwrite=overwrite):
        source = origin(model.model, structure, atoms)
        atoms.calc = model.calculator("forces", "stress")
        relaxed = start_relaxed(atoms, options.relax, options.fmax)
        ExtxyzFile(folder / "relaxed.extxyz").frame(with_results(atoms))
        fitted = stiffness(atoms, options)
        constants = (fitted + fitted.T) / 2.0
        found = moduli(constants)
        check = cross_check(atoms, options, found["bulk_modulus_gpa"]["voigt"])
        draw(constants, folder / "elastic.png", f"{atoms.get_chemical_formula()}: elastic constants, GPa")
        write_json(
            folder / RESULTS,
            {"command": "elastic", **source, "options": asdict(options), "relaxed": relaxed,
             "elastic_constants_gpa": constants.tolist(), "asymmetry_gpa": float(abs(fitted - fitted.T).max()), **found,
             "eos": check},
        )  # fmt: skip
        bulk, shear = found["bulk_modulus_gpa"]["hill"], found["shear_modulus_gpa"]["hill"]
        say(f"bulk modulus {bulk:.5g} GPa, shear modulus {shear:.5g} GPa; see {folder}")
        _warn(found, check)


def _warn(found: dict[str, Any], check: dict[str, Any]) -> None:
    if not found["stable"]:
        note("warning: the crystal is not stable: a strain lowers its energy")
    if check["bulk_modulus_gpa"] is None:
        note(f"warning: the bulk modulus could not be checked by the equation of state: {check['reason']}")
    elif abs(check["relative_difference"]) > _TOLERANCE:
        note(
            f"warning: by the equation of state the bulk modulus is {check['bulk_modulus_gpa']:.5g} GPa, "
            f"by the constants (Voigt) {found['bulk_modulus_gpa']['voigt']:.5g}: take smaller strains, or relax first"
        )
