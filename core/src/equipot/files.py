"""Write files whole or not at all, lock them, and find the folders where equipot keeps its own.

Every file that equipot writes goes through ``atomic``: a reader, or a run that is killed, sees the
old contents or the new ones, never a part.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
from collections.abc import Iterator
from pathlib import Path

from equipot.errors import ArtifactError, problem


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
    except OSError as error:
        hint = "choose a folder that exists and is yours"
        raise ArtifactError(problem(str(path), f"cannot be written: {error.strerror}", hint=hint)) from None
    try:
        yield temporary
        _flush(temporary)
        temporary.replace(path)
        _flush(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


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
def locked(path: str | Path) -> Iterator[None]:
    """Hold the lock of a file while the block runs; other processes wait for it.

    The operating system releases the lock when its process ends, even if it is killed. Where there can be no lock
    (a read-only folder, a file system without locks), the block runs without one.

    Args:
        path: The file that is written under the lock; its folder is made, and ``PATH.lock`` stays in it.
    """
    from filelock import FileLock

    path = Path(path)
    with contextlib.ExitStack() as held:
        with contextlib.suppress(OSError):
            path.parent.mkdir(parents=True, exist_ok=True)
            held.enter_context(FileLock(f"{path}.lock"))
        yield


def cache_folder() -> Path:
    """The user's cache folder: ``EQUIPOT_CACHE_DIR``, else ``$XDG_CACHE_HOME/equipot``, else ``~/.cache/equipot``."""
    if own := os.environ.get("EQUIPOT_CACHE_DIR"):
        return Path(own)
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "equipot"
