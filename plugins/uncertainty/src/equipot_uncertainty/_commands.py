"""``equipot uncertainty``: the commands that add uncertainties to a model and judge committees."""

# ruff: noqa: T201 (commands print)

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from equipot.commands import Command, SeveralValues, option_names
from equipot.data.arguments import NAMES, named_labels, reading_of, reading_options
from equipot.errors import ConfigError, problem

if TYPE_CHECKING:
    from equipot_uncertainty._fit import Fitted

_READING = ("label_weights", "unconverged", "species", "ase_args")

_LABELS = click.option(
    "--labels",
    cls=SeveralValues,
    metavar="LABEL=KEY...",
    help="Keys of labels in the files; labels that are not named have the keys of the model's training.",
)


@click.group(no_args_is_help=False)
def command() -> None:
    """Give a model calibrated uncertainties of energies and forces, and judge committees."""


@command.command(
    cls=Command,
    epilog="\b\nequipot uncertainty add outputs/my_run -o with_std.equipot.zip\n"
    "equipot uncertainty add model.equipot.zip --train train.extxyz --validation val.extxyz -o with_std.equipot.zip",
)
@click.argument("model", type=click.Path())
@click.option("--train", cls=SeveralValues, type=click.Path(), metavar="FILE...", help="Frames of the training.")
@click.option(
    "--validation", cls=SeveralValues, type=click.Path(), metavar="FILE...", help="Frames that it was not trained on."
)
@click.option("-o", "--output", type=click.Path(), required=True, metavar="OUT.equipot.zip", help="The new package.")
@click.option(
    "--force-directions",
    type=click.IntRange(min=0),
    default=0,
    metavar="K",
    help="Also give forces_std, at the cost of K further calculations of forces in each call (default: 0, without).",
)
@click.option(
    "--force-frames",
    type=click.IntRange(min=1),
    default=50,
    metavar="N",
    help="With --force-directions: training frames whose forces are used for the covariance (default: 50).",
)
@_LABELS
@reading_options
def add(**given: Any) -> None:
    """Add calibrated uncertainties to a model and write the result as a package.

    MODEL is the folder of a run, whose training and validation sets are used, or a checkpoint (.ckpt) or package
    (.equipot.zip) with --train and --validation.
    """
    from equipot.allocator import keep_memory
    from equipot.artifacts import checked_path, source_of, write_package
    from equipot_uncertainty._data import data_of_run, frames_of_files, load_stored, model_file
    from equipot_uncertainty._fit import FitOptions, add_uncertainty

    keep_memory()
    path, out = model_file(given["model"]), checked_path(given["output"])
    if out.exists() and out.samefile(path):
        raise ConfigError(problem("--output", "would overwrite the model", got=str(out), hint="choose another name"))
    reading, labels = reading_of(**{name: given[name] for name in _READING}), named_labels(given["labels"])
    model, manifest = load_stored(path)
    files = [given["train"], given["validation"]]
    if all(files):
        with option_names(NAMES):
            read = [frames_of_files(model, manifest, one, labels=labels, reading=reading) for one in files]
    elif any(files) or not Path(given["model"]).is_dir():
        hint = "or none of them with the folder of a run"
        raise ConfigError(problem("--train, --validation", "both are needed with a file of a model", hint=hint))
    else:
        data = data_of_run(given["model"], model)
        read = [data.dataset("train"), data.dataset("val0")]
    options = FitOptions(force_frames=given["force_frames"], force_directions=given["force_directions"])
    made, fitted = add_uncertainty(model, read[0], read[1], options)
    provenance = {**manifest.provenance, **source_of(path), "uncertainty": fitted.to_dict()}
    write_package(made, out, provenance=provenance, data=manifest.data)
    _say(fitted, out)


def _say(fitted: Fitted, out: Path) -> None:
    what = {"last_layer": "features of the last layer", "node": "scalar node features"}[fitted.features]
    found = fitted.energy
    with_forces = f", forces of {fitted.train_force_frames}" if fitted.train_force_frames else ""
    print(f"{fitted.num_features} {what}; energies of {fitted.train_frames} training frames{with_forces}")
    training = " and training frames" if fitted.calibrated_with_training else ""
    print(
        f"calibrated on {fitted.validation_frames} validation frames{training}; of the former, energy errors are "
        f"{1e3 * found.rmse:.4g} meV rms, {100 * found.within_1:.0f} % within one and {100 * found.within_2:.0f} % "
        "within two standard deviations"
    )
    if fitted.forces is not None:
        print(
            f"forces: errors {1e3 * fitted.forces.rmse:.4g} meV/Å rms, {100 * fitted.forces.within_1:.0f} % within one "
            f"and {100 * fitted.forces.within_2:.0f} % within two"
        )
    print(f"wrote {out}")


@command.command(
    cls=Command,
    epilog="\b\nequipot uncertainty committee seed1.equipot.zip seed2.equipot.zip seed3.equipot.zip --data test.extxyz",
)
@click.argument("models", type=click.Path(), nargs=-1, required=True)
@click.option("--data", cls=SeveralValues, type=click.Path(), required=True, metavar="FILE...", help="Labelled frames.")
@click.option("--json", "as_json", is_flag=True, help="Print everything as JSON.")
@click.option("--out", type=click.Path(), metavar="FILE", help="Write everything into this JSON file.")
@_LABELS
@reading_options
def committee(**given: Any) -> None:
    """Judge the spread of several models: errors of their mean, rms of z, coverage, calibration curve and AUROC.

    MODELS are at least two folders of runs, checkpoints or packages with the same types and cutoffs. The AUROC compares
    the frames of each further file with those of the first. For a single model that has uncertainties, equipot eval
    does the same.
    """
    from equipot import files
    from equipot.allocator import keep_memory
    from equipot.evaluate import evaluate_frames
    from equipot_uncertainty._committee import Committee
    from equipot_uncertainty._data import collection_of_files, load_stored, model_file

    keep_memory()
    loaded = [load_stored(model_file(one)) for one in given["models"]]
    together: Any = Committee([model for model, _ in loaded])
    reading, labels = reading_of(**{name: given[name] for name in _READING}), named_labels(given["labels"])
    with option_names(NAMES):
        read, contract = collection_of_files(*loaded[0], given["data"], labels=labels, reading=reading)
    found = evaluate_frames(together, read, contract, files=given["data"])
    if given["out"]:
        files.write_json(given["out"], found.to_dict())
    if given["as_json"]:
        print(json.dumps(found.to_dict(), indent=2))
        return
    print(f"{len(loaded)} models, {found.n_frames} frames")
    for one in found.compared:
        errors = one.errors()
        print(f"{one.name}: RMSE {errors['rmse']:.4g}, MAE {errors['mae']:.4g} {one.quantity.unit}")
    for line in found.uncertainties.lines() if found.uncertainties is not None else []:
        print(line)
