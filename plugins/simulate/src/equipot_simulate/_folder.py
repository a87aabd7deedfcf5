"""The folder of a result: not replaced unasked, and of one process at a time."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path

from equipot.errors import ConfigError, problem
from equipot.files import locked, remove_unfinished

RESULTS = "results.json"
"""In every folder; written last."""

_LOCK = "run.lock"


@contextlib.contextmanager
def result_folder(folder: Path, *, resume: bool, overwrite: bool) -> Iterator[Path]:
    """Make the folder and hold its lock while the block runs.

    If the block fails before it has written anything, no folder is left behind that was not there before.

    Args:
        folder: To write into.
        resume: Files of an earlier run stay.
        overwrite: Files of an earlier run are removed.

    Raises:
        ConfigError: If it holds files and neither is given, both are, or another process writes into it.
    """
    if resume and overwrite:
        raise ConfigError(problem("--overwrite", "cannot be given together with --resume"))
    if folder.exists() and not folder.is_dir():
        raise ConfigError(problem("--output", "is not a folder", got=str(folder)))
    found = [one for one in folder.iterdir() if one.name != _LOCK] if folder.is_dir() else []
    if found and not resume and not overwrite:
        hint = "choose another --output, go on with --resume where the command has it, or give --overwrite"
        raise ConfigError(problem(str(folder), "already holds files", hint=hint))
    if overwrite and found and not _is_ours(folder):
        what = "holds files, but no results of a command: nothing is removed"
        raise ConfigError(problem(str(folder), what, hint="choose another --output"))
    made = [one for one in (folder, *folder.parents) if not one.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(problem("--output", f"cannot be made: {error.strerror}", got=str(folder))) from None
    with locked(folder / _LOCK, timeout=0.0) as free:
        if not free:
            raise ConfigError(problem(str(folder), "another process is writing into it"))
        _clear(folder, found if overwrite else [])
        try:
            yield folder
        except BaseException:
            if {one.name for one in folder.iterdir()} <= {_LOCK}:
                with contextlib.suppress(OSError):  # where open files cannot be removed, or others have written since
                    (folder / _LOCK).unlink(missing_ok=True)
                    for one in made:
                        one.rmdir()
            raise


def _is_ours(folder: Path) -> bool:
    return any((folder / name).exists() for name in (RESULTS, _LOCK))


def _clear(folder: Path, old: list[Path]) -> None:
    for one in old:
        if one.is_dir() and not one.is_symlink():
            shutil.rmtree(one)
        else:
            one.unlink()
    remove_unfinished(folder)
