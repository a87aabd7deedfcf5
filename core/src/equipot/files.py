"""Write files whole or not at all, lock them, and find the folders where equipot keeps its own.

Every file that equipot writes goes through ``atomic``: a reader, or a run that is killed, sees the
old contents or the new ones, never a part.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import re
import secrets
from pathlib import Path
from typing import TYPE_CHECKING

from equipot.errors import ArtifactError, problem

if TYPE_CHECKING:
    from collections.abc import Iterator

_TEMPORARY = re.compile(r"\..+\.[0-9a-f]{12}(\.[^.]+)?")
"""Names of the files that ``atomic`` writes first."""


@contextlib.contextmanager
def atomic(path: str | Path) -> Iterator[Path]:
    """A temporary file in the same folder that replaces ``path`` when the block ends without error.

    The contents are flushed to disk before the file is renamed, so that a power failure leaves one of the two.

    Args:
        path: The file to write; its folder must exist.

    Raises:
        ArtifactError: If the folder does not exist, cannot be written, or the disk is full.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.stem}.{secrets.token_hex(6)}{path.suffix}")
    try:
        temporary.open("xb").close()
        yield temporary
        _flush(temporary)
        temporary.replace(path)
        _flush(path.parent)
    except OSError as error:
        if error.filename not in (None, str(temporary), temporary, str(path.parent), path.parent):
            raise
        raise _unwritable(path, error) from None
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def _unwritable(path: Path, error: OSError) -> ArtifactError:
    """Why a file cannot be written, and what to do."""
    hint = "choose a folder that exists and is yours"
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        hint = "make room; files that were there are whole"
    return ArtifactError(problem(str(path), f"cannot be written: {error.strerror}", hint=hint))


def append_text(path: str | Path, text: str) -> None:
    """Add to the end of a text file, UTF-8; a process that is killed may leave a part of the text.

    Args:
        path: The file; made if there is none.
        text: What to add.

    Raises:
        ArtifactError: As ``atomic``.
    """
    path = Path(path)
    try:
        with path.open("a", encoding="utf-8", newline="") as file:
            file.write(text)
    except OSError as error:
        raise _unwritable(path, error) from None


def remove_unfinished(folder: Path) -> None:
    """Remove the temporary files of writers that were killed, in a folder that no other process writes into.

    Args:
        folder: With all below it.
    """
    for path in folder.rglob(".*"):
        if _TEMPORARY.fullmatch(path.name) and path.is_file():
            path.unlink(missing_ok=True)


def _flush(path: Path) -> None:
    """Wait until a file, or the names in a folder, are on disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_text(path: str | Path, text: str) -> None:
    """Write a text file, UTF-8, atomically.

    Args:
        path: The file; replaced if there is one.
        text: Its contents.

    Raises:
        ArtifactError: As ``atomic``.
    """
    with atomic(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: str | Path, content: object) -> None:
    """Write indented JSON with a final newline, atomically.

    Args:
        path: The file; replaced if there is one.
        content: Plain containers.

    Raises:
        ArtifactError: As ``atomic``.
    """
    write_text(path, json.dumps(content, indent=2, ensure_ascii=False) + "\n")


@contextlib.contextmanager
def locked(path: str | Path, *, timeout: float = -1.0) -> Iterator[bool]:
    """Hold the lock of a file while the block runs; other processes wait for it.

    The operating system releases the lock when its process ends, even if it is killed. Where there can be no lock
    (a read-only folder, a file system without locks), the block runs without one.

    Args:
        path: The file that is written under the lock; its folder is made, and ``PATH.lock`` stays in it. A path
            that ends in ``.lock`` is locked itself.
        timeout: Seconds to wait; negative: as long as it takes.

    Returns:
        False if another process still had the lock after that time.
    """
    from filelock import FileLock, Timeout

    path = Path(path)
    with contextlib.ExitStack() as held:
        free = True
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            held.enter_context(FileLock(path if path.suffix == ".lock" else f"{path}.lock", timeout=timeout))
        except Timeout:
            free = False
        except OSError:
            pass
        yield free


def cache_folder() -> Path:
    """The user's cache folder: ``EQUIPOT_CACHE_DIR``, else ``$XDG_CACHE_HOME/equipot``, else ``~/.cache/equipot``."""
    if own := os.environ.get("EQUIPOT_CACHE_DIR"):
        return Path(own)
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "equipot"
