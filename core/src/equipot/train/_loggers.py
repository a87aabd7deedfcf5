"""The loggers that a config chooses by one word, writing into the folder of the run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

TENSORBOARD = "tensorboard"
"""Folder in that of the run."""


def named_loggers(words: Sequence[str], folder: Path, step: int) -> list[Any]:
    """Loggers in addition to ``metrics.csv``, which is always written.

    Args:
        words: ``csv``, ``tensorboard`` and ``wandb``; checked before.
        folder: Of the run.
        step: Number of optimizer steps at which the run goes on; 0 for a new one.
    """
    from lightning.pytorch.loggers import TensorBoardLogger, WandbLogger

    made: list[Any] = []
    if "tensorboard" in words:
        # what an interrupted run has logged after its checkpoint is not shown twice
        options = {"purge_step": step + 1} if step else {}
        made.append(
            TensorBoardLogger(folder, name=TENSORBOARD, version="", default_hp_metric=False, **options)  # type: ignore[arg-type]
        )
    if "wandb" in words:
        made.append(WandbLogger(name=folder.name, save_dir=folder, project="equipot"))
    return made


def remove_events(folder: Path) -> None:
    """Remove what an earlier run in the same folder has written for TensorBoard.

    Args:
        folder: Of the run.
    """
    for path in (folder / TENSORBOARD).glob("events.out.tfevents.*"):
        path.unlink(missing_ok=True)
