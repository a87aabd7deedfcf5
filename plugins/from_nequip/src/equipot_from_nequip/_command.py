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
@click.option(
    "--i-trust-this-file", is_flag=True, help="Needed for models: loading the file runs the code that is in it."
)
@click.option(
    "--python",
    metavar="PATH",
    type=click.Path(),
    default=sys.executable,
    help="Interpreter that has nequip (default: this one).",
)
@click.option("--model-key", metavar="KEY", default="sole_model", help="Which of several models to take.")
@click.option(
    "--frames", metavar="FILE", type=click.Path(), help="Compare on the first frames of FILE too, which ASE reads."
)
@click.option("--num-frames", metavar="N", type=int, default=4, help="How many of them (default: 4).")
@click.option(
    "--units",
    type=click.Choice(["metal", "real"]),
    help="Units of the training data (default: those of ZBL, else metal).",
)
@click.option(
    "--chemical-species",
    cls=SeveralValues,
    metavar="SYMBOL...",
    help="Element of each type, where the file does not say it.",
)
@click.option("--ignore-tf32", is_flag=True, help="Take a model trained with TF32, to be run in full float32.")
def command(**given: Any) -> None:
    """Move a model or a config of nequip over to equipot.

    IN is nequip's .ckpt or .nequip.zip, OUT the .equipot.zip to write; with --config both are .yaml files.

    The files of nequip hold pickles: loading one runs the code that is in it. They are loaded by a process of the
    interpreter that --python names, which has nequip installed, and never by equipot itself.
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
        raise ConfigError(problem(args.output, "must end in .yaml", hint="which is what equipot train takes"))
    changes = rewrite(args.source, args.output)
    print(f"wrote {args.output}: {changes} names and options changed; try: equipot check {args.output}")


def _model(args: SimpleNamespace) -> None:
    if not args.i_trust_this_file:
        hint = "add --i-trust-this-file if you know where it comes from"
        raise ConfigError(problem(args.source, "loading it runs the code that is in it", hint=hint))
    from equipot.artifacts import checked_path
    from equipot_from_nequip._exported import export
    from equipot_from_nequip._importer import import_model, write

    checked_path(args.output)
    peer = export(args.python, args.source, model_key=args.model_key, frames=args.frames, num_frames=args.num_frames)
    for note in peer.notes:
        print(f"note: {note}")
    imported = import_model(
        peer, units=args.units, chemical_species=list(args.chemical_species) or None, ignore_tf32=args.ignore_tf32
    )
    write(imported, peer, args.output, args.source)
    for dtype, deviations in imported.deviations.items():
        shown = ", ".join(f"{key} {value:.1e}" for key, value in sorted(deviations.items()))
        print(f"same numbers as nequip {peer.versions.get('nequip')} on {len(peer.frames)} frames in {dtype}: {shown}")
    print(f"wrote {args.output} ({peer.weights_kind} weights)")
