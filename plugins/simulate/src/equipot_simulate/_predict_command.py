"""``equipot predict``."""

from __future__ import annotations

from typing import Any

import click

from equipot.commands import Command, SeveralValues
from equipot_simulate._many_options import many_of, many_options
from equipot_simulate._setup import frame_options, frames_of, model_of, model_options, origin, output_of


@click.command(
    cls=Command,
    epilog="\b\nequipot predict model.equipot.zip structures.extxyz --workers 4\n"
    "equipot predict model.equipot.zip test.extxyz --errors --scheduler tcp://10.0.0.1:8786 --output test --resume",
)
@model_options
@frame_options
@click.option("--errors", is_flag=True, help="Also compare with labels in the file, as equipot eval does.")
@click.option(
    "--labels",
    cls=SeveralValues,
    metavar="LABEL=KEY[:CONVENTION]...",
    help="Keys of these labels, as for equipot eval; default: ASE's names.",
)
@click.option("--resume", is_flag=True, help="Compute what is missing in the folder in --output.")
@many_options
def command(**given: Any) -> int:
    """Compute energies, forces and stresses of many structures, on several processes or a cluster.

    MODEL is a checkpoint (.ckpt), package (.equipot.zip) or compiled file (.equipot.pt2); STRUCTURE a file of any
    format that training reads. The folder (default: STRUCTURE_predict) gets a record for each structure as it comes,
    and in the end results.json, table.csv, structures.extxyz and predict.png. With --errors, results.json holds what
    equipot eval --json prints.
    """
    from equipot.data.arguments import named_labels
    from equipot_simulate._folder import result_folder
    from equipot_simulate._many import run_many
    from equipot_simulate._tasks import PredictTask

    model = model_of(given)
    structure, frame, repeat = given.pop("structure"), given.pop("frame"), given.pop("repeat")
    folder, many = output_of(given, structure, "predict"), many_of(given)
    labels = named_labels(given.pop("labels"))
    errors = given.pop("errors") or bool(labels)
    frames = frames_of(structure, frame, repeat)
    _check_errors(errors, frame, repeat)
    with result_folder(folder, resume=given.pop("resume"), overwrite=given.pop("overwrite")):
        source = origin(model.model, structure)
        code = run_many(PredictTask(), frames, model, (), folder, source, many)
        if errors and code == 0:
            from equipot_simulate._replay import add_errors

            add_errors(folder, model, structure, labels)
        return code


def _check_errors(errors: bool, frame: int | None, repeat: tuple[int, int, int]) -> None:  # noqa: FBT001 - private
    from equipot.errors import ConfigError, problem

    if errors and (frame is not None or repeat != (1, 1, 1)):
        raise ConfigError(problem("--errors", "needs all frames of the file as they are, without --frame and --repeat"))
