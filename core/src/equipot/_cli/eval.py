"""``equipot eval``."""

from __future__ import annotations

import functools
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from equipot import files
from equipot._cli._eval_elsewhere import Elsewhere, elsewhere_options, predictions
from equipot._cli._eval_labels import as_in_training, chosen_labels, origin_of_labels
from equipot._cli.common import Weights, automatic_option, say, weights_option
from equipot.commands import Command, SeveralValues, option_names
from equipot.data.arguments import NAMES, GivenReading, named_labels, reading_of, reading_options
from equipot.errors import ConfigError, problem

if TYPE_CHECKING:
    from equipot.artifacts._training_labels import TrainingLabels
    from equipot.evaluate import Evaluation


@dataclass(frozen=True, kw_only=True)
class _Arguments:
    """The arguments of the command."""

    model: str
    data: tuple[str, ...]
    out: str | None
    write: str | None
    table: str | None
    as_json: bool
    labels: tuple[str, ...]
    batch_size: int
    device: str
    weights: Weights
    allow_native: bool
    reading: GivenReading
    automatic_modifiers: bool
    elsewhere: Elsewhere

    def of_model(self) -> list[str]:
        """How the model is loaded, as options."""
        automatic = "--automatic-modifiers" if self.automatic_modifiers else "--no-automatic-modifiers"
        native = ["--allow-native"] if self.allow_native else []
        return ["--device", self.device, "--weights", self.weights, automatic, *native]


@click.command(cls=Command)
@click.argument("model", type=click.Path())
@click.argument("data", type=click.Path(), nargs=-1, required=True)
@click.option(
    "--out",
    type=click.Path(),
    metavar="DIR",
    help="Write metrics.json, parity.png and, of a model with uncertainties, calibration.png into this folder.",
)
@click.option(
    "--write",
    type=click.Path(),
    metavar="FILE",
    help="Write the frames with labels (label_energy, label_forces, label_stress) and predictions (equipot_energy, "
    "equipot_forces, equipot_stress) as extended XYZ.",
)
@click.option("--csv", "table", type=click.Path(), metavar="FILE", help="Write a table with one row for each frame.")
@click.option("--json", "as_json", is_flag=True, help="Print everything as JSON.")
@click.option(
    "--labels",
    cls=SeveralValues,
    metavar="LABEL=KEY[:CONVENTION]...",
    help="Keys of labels in the files, e.g. total_energy=REF_energy forces=arrays:REF_forces stress=virial:virial; "
    "labels that are not named have the keys of the model's training. Conventions of the stress: "
    "stress (default), negative_stress, virial.",
)
@reading_options
@click.option("--batch-size", type=int, default=10, metavar="N", help="Frames evaluated at once (default: 10).")
@click.option("--device", default="cpu", help="Device to run on: cpu (default) or cuda.")
@weights_option
@automatic_option
@elsewhere_options
@click.option("--allow-native", is_flag=True, help="Also load a compiled file that you did not build yourself.")
def command(**given: Any) -> None:
    """Compare a model with labelled data: errors in meV and Å, in all and by element, config type, file and frame.

    MODEL is a checkpoint (.ckpt), package (.equipot.zip) or compiled file (.equipot.pt2). DATA are files of any format
    that training reads, with labels in the units of the model's training data and under its keys. Weights of labels,
    names of atoms and what is done with calculations that did not converge are as in the training, too, unless options
    say otherwise.
    """
    names = ("label_weights", "unconverged", "species", "ase_args")
    reading = reading_of(**{name: given.pop(name) for name in names})
    elsewhere = Elsewhere(workers=given.pop("workers"), scheduler=given.pop("scheduler"))
    arguments = _Arguments(**given, reading=reading, elsewhere=elsewhere)
    if arguments.batch_size < 1:
        raise ConfigError(problem("--batch-size", "must be at least 1", got=arguments.batch_size))
    if elsewhere.option:
        _check_elsewhere(arguments)
    named = named_labels(arguments.labels)
    folder = None if arguments.out is None else _folder(arguments.out)
    _check_outputs(arguments, folder)
    trained, found, computed = _evaluated(arguments, named)
    _report(found, trained, named, arguments, computed)
    from equipot.evaluate import write_csv, write_predictions

    if arguments.write is not None:
        write_predictions(found, arguments.write)
        _say_wrote(arguments, arguments.write)
    if arguments.table is not None:
        write_csv(found, arguments.table)
        _say_wrote(arguments, arguments.table)
    if folder is not None:
        _write_folder(found, folder, arguments, computed)


def _evaluated(
    arguments: _Arguments, named: dict[str, Any]
) -> tuple[TrainingLabels | None, Evaluation, dict[str, Any]]:
    """The labels of the model's training, what was found, and a record of how it was computed."""
    from equipot import _progress
    from equipot.allocator import keep_memory
    from equipot.artifacts._loading import load
    from equipot.artifacts._training_labels import training_labels
    from equipot.evaluate import StoredPredictions
    from equipot.model._automatic import AutomaticModifiers, apply_automatic
    from equipot.model._graph_model import GraphModel

    keep_memory()
    _progress.show()
    loaded = load(arguments.model, arguments.device, weights=arguments.weights, allow_native=arguments.allow_native)
    trained = training_labels(arguments.model)
    if arguments.elsewhere.option:
        if "virial" in (chosen_labels(named, trained) or {}):
            hint = "name the stress instead: --labels stress=KEY, or stress=KEY:virial"
            raise ConfigError(
                problem("virial", f"cannot be compared together with {arguments.elsewhere.option}", hint=hint)
            )
        where, folder = arguments.elsewhere, Path(str(arguments.out))
        records = predictions(where, arguments.model, arguments.data, folder, arguments.of_model())
        stored: Any = StoredPredictions(loaded.info, records)
        return trained, _compared(stored, arguments, named, trained, batch_size=1, device="cpu"), {}
    automatic = AutomaticModifiers()
    if isinstance(loaded, GraphModel):
        loaded, automatic = apply_automatic(loaded, arguments.device, enabled=arguments.automatic_modifiers)
    if automatic.line:
        say(automatic.line, error=True)
    evaluator = loaded.evaluator if isinstance(loaded, GraphModel) else None
    if evaluator is not None:
        evaluator.tell = functools.partial(say, error=True)
    found = _compared(loaded, arguments, named, trained, batch_size=arguments.batch_size, device=arguments.device)
    computed: dict[str, Any] = {"automatic_modifiers": automatic.to_dict()}
    if evaluator is not None and evaluator.fallbacks:
        computed["fallbacks"] = list(evaluator.fallbacks)
    return trained, found, computed


def _compared(
    model: Any,
    arguments: _Arguments,
    named: dict[str, Any],
    trained: TrainingLabels | None,
    **how: Any,
) -> Evaluation:
    from equipot import _progress
    from equipot.evaluate import evaluate

    with option_names(NAMES):
        return evaluate(
            model,
            arguments.data,
            labels=chosen_labels(named, trained),
            mask_nan=trained is not None and trained.mask_nan,
            reading=as_in_training(arguments.reading, trained),
            progress=functools.partial(_progress.track, what="evaluating"),
            **how,
        )


def _check_elsewhere(arguments: _Arguments) -> None:
    """Refuse what the command that computes elsewhere cannot do."""
    option = arguments.elsewhere.option
    if arguments.out is None:
        raise ConfigError(problem(option, "needs --out DIR, where predictions are kept and the same command goes on"))
    for name, value in (("--species", arguments.reading.species), ("--ase-args", arguments.reading.ase_args)):
        if value:
            hint = "equipot data convert writes a file that needs neither"
            raise ConfigError(problem(name, f"cannot be given together with {option}", hint=hint))


# ---------------------------------------------------------------------------- outputs


def _folder(name: str) -> Path:
    folder = Path(name)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(problem("--out", f"cannot be made: {error.strerror}", got=name)) from None
    return folder


def _check_outputs(arguments: _Arguments, folder: Path | None) -> None:
    """Refuse outputs that would replace an input or each other, or that cannot be written, before any work is done."""
    write, inputs = arguments.write, (arguments.model, *arguments.data)
    given = (("--write", write), ("--csv", arguments.table))
    outputs = [(option, Path(path)) for option, path in given if path is not None]
    if folder is not None:
        outputs += [("--out", folder / name) for name in ("metrics.json", "parity.png", "calibration.png")]
    if write is not None and not write.endswith((".xyz", ".extxyz")):
        raise ConfigError(problem("--write", "must end in .extxyz or .xyz", got=write))
    for number, (option, path) in enumerate(outputs):
        if any(_same(path, Path(one)) for one in inputs):
            raise ConfigError(problem(option, "would overwrite an input", got=str(path), hint="choose another name"))
        if any(path.resolve() == other.resolve() for _, other in outputs[:number]):
            raise ConfigError(problem(option, "is written twice", got=str(path), hint="choose another name"))
        if path.is_dir() or not path.parent.is_dir() or not os.access(path.parent, os.W_OK):
            hint = "name a file in an existing folder that you can write to"
            raise ConfigError(problem(option, "cannot be written", got=str(path), hint=hint))


def _same(path: Path, other: Path) -> bool:
    return path.resolve() == other.resolve() or (path.exists() and other.exists() and path.samefile(other))


def _report(
    found: Evaluation,
    trained: TrainingLabels | None,
    named: dict[str, Any],
    arguments: _Arguments,
    computed: dict[str, Any],
) -> None:
    from equipot._cli._eval_tables import print_evaluation

    for text in found.warnings:
        say(f"warning: {text}", error=True)
    if trained is not None and trained.doubt and "stress" not in named and found.labels()["stress"]["frames"]:
        say(f"warning: {trained.doubt}", error=True)
    if arguments.as_json:
        print(json.dumps(_plain(found, arguments, computed), indent=2))
    else:
        print_evaluation(found, origin_of_labels(named, trained))


def _plain(found: Evaluation, arguments: _Arguments, computed: dict[str, Any]) -> dict[str, Any]:
    data = ", ".join(Path(one).name for one in arguments.data)
    facts = {"model": Path(arguments.model).name, "data": data, **computed}
    return {**facts, **found.to_dict()}


def _write_folder(found: Evaluation, folder: Path, arguments: _Arguments, computed: dict[str, Any]) -> None:
    from equipot.evaluate import calibration_plot, parity_plot

    plain = _plain(found, arguments, computed)
    files.write_json(folder / "metrics.json", plain)
    title, names = f"{plain['model']} on {plain['data']}", ["metrics.json", "parity.png"]
    parity_plot(found.compared, folder / "parity.png", title)
    if found.uncertainties is not None and found.uncertainties.units:
        calibration_plot(found.uncertainties, folder / "calibration.png", title)
        names.append("calibration.png")
    _say_wrote(arguments, " and ".join(str(folder / name) for name in names))


def _say_wrote(arguments: _Arguments, what: str) -> None:
    if not arguments.as_json:
        say(f"wrote {what}")
