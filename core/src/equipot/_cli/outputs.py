"""The output folders of runs: their names, and which are refused."""

from __future__ import annotations

import itertools
import tempfile
from datetime import datetime
from pathlib import Path

from equipot._processes import is_first
from equipot.errors import ConfigError, problem

STAMP = "%Y-%m-%d_%H-%M-%S"
"""Date and time in the format of Hydra's folder names."""

RUN_FILES = ("best.ckpt", "last.ckpt", "hpc_ckpt_*.ckpt", "results.json", "multirun.yaml")
"""Files that show that a folder holds a run; patterns of names."""


def parent_of(config: Path) -> Path:
    """The folder for the runs of a config: ``outputs/NAME``."""
    return Path("outputs", "".join(char if char.isalnum() or char in "-_." else "_" for char in config.stem))


def free_name(config: Path) -> Path:
    """A path named after date and time that does not exist yet."""
    stamp = datetime.now().strftime(STAMP)  # noqa: DTZ005 - the user's time, as in Hydra's names
    names = itertools.chain([stamp], (f"{stamp}_{count}" for count in itertools.count(2)))
    return next(folder for name in names if not (folder := parent_of(config) / name).exists())


def make_new(folder: Path) -> bool:
    """Create the folder of a run; False if another run has created it first."""
    try:
        folder.mkdir(parents=True)
    except OSError as error:
        if isinstance(error, FileExistsError) and folder.is_dir():
            return False
        what = f"cannot be written: {error.strerror}"
        raise ConfigError(problem(str(folder.parent), what, hint="choose another folder with --output")) from None
    return True


def make_chosen(folder: Path, *, replace: bool) -> None:
    """Create the folder that the user chose; without ``replace`` it must not hold another run."""
    if not is_first():  # the first process has checked the folder and may already write into it
        return
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        what = f"cannot be written: {error.strerror}"
        raise ConfigError(problem("--output", what, got=str(folder), hint="choose another folder")) from None
    if odd := [
        path.name for path in sorted(folder.iterdir()) if path.exists() and not (path.is_file() or path.is_dir())
    ]:
        what = f"the folder holds a pipe or device ({', '.join(odd)})"
        raise ConfigError(problem("--output", what, got=str(folder), hint="remove it, or choose another folder"))
    found = [path.name for name in RUN_FILES for path in sorted(folder.glob(name))]
    if found and not replace:
        what = f"the folder holds a run already ({', '.join(found)})"
        hint = "choose another folder, or add --overwrite"
        raise ConfigError(problem("--output", what, got=str(folder), hint=hint))
