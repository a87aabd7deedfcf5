"""``equipot uncertainty``: the commands that add uncertainties to a model and judge them."""

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
    from equipot_uncertainty._evaluate import Judgement
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
    """Give a model calibrated uncertainties of energies and forces, and judge them."""


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
    name="eval",
    cls=Command,
    epilog="\b\nequipot uncertainty eval with_std.equipot.zip test_300K.extxyz --out-of-domain test_1200K.extxyz\n"
    "equipot uncertainty eval seed1.equipot.zip test.extxyz --committee seed2.equipot.zip seed3.equipot.zip",
)
@click.argument("model", type=click.Path())
@click.argument("data", type=click.Path())
@click.option(
    "--out-of-domain", type=click.Path(), metavar="FILE", help="Frames that the uncertainties should tell from DATA."
)
@click.option(
    "--committee",
    cls=SeveralValues,
    type=click.Path(),
    metavar="MODEL...",
    help="Further models: judge the spread of all of them instead of the model's own uncertainty.",
)
@click.option("--json", "as_json", is_flag=True, help="Print everything as JSON.")
@click.option("--out", type=click.Path(), metavar="FILE", help="Write everything into this JSON file.")
@_LABELS
@reading_options
def evaluate_command(**given: Any) -> None:
    """Compare uncertainties with errors on labelled frames: rms of z, coverage, calibration curve and AUROC.

    MODEL is a package with uncertainties, or any model with --committee. DATA is a file of frames from the domain of
    the training that it was neither trained nor calibrated on.
    """
    from equipot import files
    from equipot.allocator import keep_memory
    from equipot_uncertainty._data import frames_of_files, load_stored, model_file
    from equipot_uncertainty._evaluate import judge

    keep_memory()
    loaded = [load_stored(model_file(one)) for one in (given["model"], *given["committee"])]
    model, manifest = loaded[0]
    reading, labels = reading_of(**{name: given[name] for name in _READING}), named_labels(given["labels"])
    tested = [given["data"], *([given["out_of_domain"]] if given["out_of_domain"] else [])]
    with option_names(NAMES):
        read = [frames_of_files(model, manifest, [one], labels=labels, reading=reading) for one in tested]
    outside = read[1] if given["out_of_domain"] else None
    found = judge([one for one, _ in loaded], read[0], outside, where=given["model"])
    if given["out"]:
        files.write_json(given["out"], found.to_dict())
    if given["as_json"]:
        print(json.dumps(found.to_dict(), indent=2))
    else:
        _print_judgement(found)


def _print_judgement(found: Judgement) -> None:
    sets = {"in domain": found.inside, **({"out of domain": found.outside} if found.outside else {})}
    print(f"{'':28}{'errors':>10}{'std':>10}{'rms z':>8}{'in 1':>7}{'in 2':>7}{'rank r':>8}")
    for name, one in sets.items():
        for quantity, unit, calibration in (
            ("energy", "meV", one.energy),
            ("energy per atom", "meV", one.energy_per_atom),
            ("forces", "meV/Å", one.forces),
        ):
            if calibration is not None:
                rank = "" if calibration.spearman is None else f"{calibration.spearman:.2f}"
                print(
                    f"{name + ', ' + quantity:28}{1e3 * calibration.rmse:>10.4g}{1e3 * calibration.rms_std:>10.4g}"
                    f"{calibration.rms_z:>8.2f}{calibration.within_1:>7.0%}{calibration.within_2:>7.0%}{rank:>8} {unit}"
                )
    for name, value in found.auroc.items():
        print(f"AUROC of {name}: {value:.3f}")
