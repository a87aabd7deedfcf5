"""``equipot predict``."""

from __future__ import annotations

from typing import Any

import click

from equipot.commands import Command
from equipot_simulate._many_options import many_of, many_options
from equipot_simulate._setup import frame_options, frames_of, model_of, model_options, origin, output_of


@click.command(
    cls=Command,
    epilog="\b\nequipot predict model.equipot.zip structures.extxyz --workers 4\n"
    "equipot predict model.equipot.zip structures.extxyz --scheduler tcp://10.0.0.1:8786 --output all --resume",
)
@model_options
@frame_options
@click.option("--resume", is_flag=True, help="Compute what is missing in the folder in --output.")
@many_options
def command(**given: Any) -> int:
    """Compute energies, forces and stresses of many structures, on several processes or a cluster.

    MODEL is a checkpoint (.ckpt), package (.equipot.zip) or compiled file (.equipot.pt2); STRUCTURE a file of any
    format that training reads. The folder (default: STRUCTURE_predict) gets a record for each structure as it comes,
    and in the end results.json, table.csv, structures.extxyz and predict.png. equipot eval --workers compares the
    predictions with labels.
    """
    from equipot_simulate._folder import result_folder
    from equipot_simulate._many import run_many
    from equipot_simulate._tasks import PredictTask

    model = model_of(given)
    structure, frame, repeat = given.pop("structure"), given.pop("frame"), given.pop("repeat")
    folder, many = output_of(given, structure, "predict"), many_of(given)
    frames = frames_of(structure, frame, repeat)
    with result_folder(folder, resume=given.pop("resume"), overwrite=given.pop("overwrite")):
        return run_many(PredictTask(), frames, model, (), folder, origin(model.model, structure), many)
