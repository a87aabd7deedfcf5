"""``equipot import-nequip``."""

# ruff: noqa: T201 (a command prints)

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import click

from equipot.commands import Command, SeveralValues
from equipot.errors import ConfigError, problem


@click.command(
    cls=Command,
    epilog="\b\nequipot import-nequip model.ckpt model.equipot.zip --i-trust-this-file --python NEQUIP_PYTHON\n"
    "equipot import-nequip --config old.yaml new.yaml",
)
@click.argument("source", metavar="IN", type=click.Path())
@click.argument("output", metavar="OUT", type=click.Path())
@click.option("--config", is_flag=True, help="Rewrite a config instead of a model.")
@click.option("--overwrite", is_flag=True, help="Replace OUT if it exists.")
@click.option("--i-trust-this-file", is_flag=True, help="Needed for models: loading the file runs the code in it.")
@click.option(
    "--python",
    metavar="PATH",
    type=click.Path(),
    default=sys.executable,
    help="Python interpreter with nequip installed (default: this one).",
)
@click.option("--model-key", metavar="KEY", default="sole_model", help="Which model to take if the file has several.")
@click.option(
    "--frames",
    metavar="FILE",
    type=click.Path(),
    help="Also compare on the first frames of FILE, read with ASE.",
)
@click.option("--num-frames", metavar="N", type=int, default=4, help="How many frames of FILE (default: 4).")
@click.option(
    "--units",
    type=click.Choice(["metal", "real"]),
    help="Units of the training data (default: those of ZBL, else metal).",
)
@click.option(
    "--chemical-species",
    cls=SeveralValues,
    metavar="SYMBOL...",
    help="Element of each type, if the file does not contain it.",
)
@click.option("--ignore-tf32", is_flag=True, help="Accept a model trained with TF32; it will run in full float32.")
def command(**given: Any) -> None:
    """Convert a model or a config of nequip to equipot.

    IN is a .ckpt or .nequip.zip file of nequip, OUT the .equipot.zip file to write; with --config both are .yaml files.

    The files of nequip contain pickles: loading one runs the code in it. Equipot itself never loads them; this is done
    by a process of the interpreter given with --python, which has nequip installed.
    """
    args = SimpleNamespace(**given)
    if Path(args.output).exists() and not args.overwrite:
        raise ConfigError(problem(args.output, "exists already", hint="choose another name, or add --overwrite"))
    if args.config:
        _config(args)
    else:
        _model(args)


def _config(args: SimpleNamespace) -> None:
    from equipot_from_nequip._rewrite import rewrite

    if not args.output.endswith(".yaml"):
        raise ConfigError(problem(args.output, "must end in .yaml", hint="equipot train reads YAML files"))
    changes = rewrite(args.source, args.output)
    print(f"wrote {args.output}: {changes} names and options changed; try: equipot check {args.output}")


def _model(args: SimpleNamespace) -> None:
    if not args.i_trust_this_file:
        hint = "add --i-trust-this-file if you trust its source"
        raise ConfigError(problem(args.source, "loading it runs the code in it", hint=hint))
    from equipot.artifacts import checked_path
    from equipot_from_nequip._exported import export
    from equipot_from_nequip._hyperparameters import Choices
    from equipot_from_nequip._importer import import_model, write

    checked_path(args.output)
    peer = export(args.python, args.source, model_key=args.model_key, frames=args.frames, num_frames=args.num_frames)
    for note in peer.notes:
        print(f"note: {note}")
    species = list(args.chemical_species) or None
    choices = Choices(units=args.units, chemical_species=species, ignore_tf32=args.ignore_tf32)
    imported = import_model(peer, choices)
    write(imported, peer, args.output, args.source)
    for dtype, deviations in imported.deviations.items():
        shown = ", ".join(f"{key} {value:.1e}" for key, value in sorted(deviations.items()))
        print(f"same numbers as nequip {peer.versions.get('nequip')} on {len(peer.frames)} frames in {dtype}: {shown}")
    print(f"wrote {args.output} ({peer.weights_kind} weights)")
