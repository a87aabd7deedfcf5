"""Move a model or a config of nequip over to equipot.

  equipot import-nequip model.ckpt model.equipot.zip --i-trust-this-file --python NEQUIP_PYTHON
  equipot import-nequip --config old.yaml new.yaml

The files of nequip hold pickles: loading one runs any code that is in it. They are loaded by a process of
NEQUIP_PYTHON, an interpreter that has nequip installed, and never by equipot itself.
"""

# ruff: noqa: T201 (a command prints)

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from equipot.errors import ConfigError, problem


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("source", metavar="IN", help="nequip's .ckpt or .nequip.zip; with --config its .yaml")
    parser.add_argument("output", metavar="OUT", help="file to write: .equipot.zip; with --config .yaml")
    parser.add_argument("--config", action="store_true", help="rewrite a config instead of a model")
    parser.add_argument("--overwrite", action="store_true", help="replace OUT if it exists")
    model = parser.add_argument_group("models")
    model.add_argument(
        "--i-trust-this-file", action="store_true", help="needed: loading the file runs the code that is in it"
    )
    model.add_argument(
        "--python", metavar="PATH", default=sys.executable, help="interpreter that has nequip (default: this one)"
    )
    model.add_argument("--model-key", metavar="KEY", default="sole_model", help="which of several models")
    model.add_argument("--frames", metavar="FILE", help="compare on the first frames of FILE too (what ASE reads)")
    model.add_argument("--num-frames", metavar="N", type=int, default=4, help="how many of them (default: 4)")
    model.add_argument(
        "--units", choices=("metal", "real"), help="of the training data (default: those of ZBL, else metal)"
    )
    model.add_argument(
        "--chemical-species", metavar="SYMBOL", nargs="+", help="element of each type, where the file does not tell"
    )
    model.add_argument(
        "--ignore-tf32", action="store_true", help="take a model trained with TF32, to be run in full float32"
    )


def run(args: argparse.Namespace) -> int:
    """Import a model, or rewrite a config."""
    if Path(args.output).exists() and not args.overwrite:
        raise ConfigError(problem(args.output, "exists already", hint="choose another name, or say --overwrite"))
    return _config(args) if args.config else _model(args)


def _config(args: argparse.Namespace) -> int:
    from equipot_from_nequip._rewrite import rewrite

    if not args.output.endswith(".yaml"):
        raise ConfigError(problem(args.output, "must end in .yaml", hint="which is what equipot train takes"))
    changes = rewrite(args.source, args.output)
    print(f"wrote {args.output}: {changes} names and options changed; try: equipot check {args.output}")
    return 0


def _model(args: argparse.Namespace) -> int:
    if not args.i_trust_this_file:
        hint = "say --i-trust-this-file if you know where it comes from"
        raise ConfigError(problem(args.source, "loading it runs the code that is in it", hint=hint))
    from equipot.artifacts import checked_path
    from equipot_from_nequip._exported import export
    from equipot_from_nequip._importer import import_model, write

    checked_path(args.output)
    peer = export(args.python, args.source, model_key=args.model_key, frames=args.frames, num_frames=args.num_frames)
    for note in peer.notes:
        print(f"note: {note}")
    imported = import_model(
        peer, units=args.units, chemical_species=args.chemical_species, ignore_tf32=args.ignore_tf32
    )
    write(imported, peer, args.output, args.source)
    for dtype, deviations in imported.deviations.items():
        shown = ", ".join(f"{key} {value:.1e}" for key, value in sorted(deviations.items()))
        print(f"same numbers as nequip {peer.versions.get('nequip')} on {len(peer.frames)} frames in {dtype}: {shown}")
    print(f"wrote {args.output} ({peer.weights_kind} weights)")
    return 0
