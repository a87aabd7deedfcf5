"""Write files atomically, lock them, and find the cache folder.

All files are written with ``atomic``: even if a run is killed, readers see the old or the new contents, never a part.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import re
import secrets
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from equipot.errors import ArtifactError, problem

_TEMPORARY = re.compile(r"\..+\.[0-9a-f]{12}(\.[^.]+)?")
"""Names of the files that ``atomic`` writes first."""


@contextlib.contextmanager
def atomic(path: str | Path) -> Iterator[Path]:
    """A temporary file in the same folder that replaces ``path`` when the block ends without error.

    The contents are flushed to disk before the file is renamed, so that a power failure leaves the old or the new file.

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
    hint = "choose an existing folder that you can write to"
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        hint = "make room; files that were there are whole"
    return ArtifactError(problem(str(path), f"cannot be written: {error.strerror or error}", hint=hint))


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
    """Wait until a file or folder is on disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_text(path: str | Path, text: str) -> None:
    """Write or replace a text file (UTF-8) with ``atomic``."""
    with atomic(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: str | Path, content: object) -> None:
    """Write or replace a JSON file, indented and with a final newline, with ``atomic``."""
    write_text(path, json.dumps(content, indent=2, ensure_ascii=False) + "\n")


def file_digest(path: str | Path) -> str:
    """Hexadecimal SHA-256 of a file, or of the names and contents of all files in a folder.

    Raises:
        ArtifactError: If it does not exist or cannot be read.
    """
    digest, root = hashlib.sha256(), Path(path)
    try:
        for file in sorted(item for item in root.rglob("*") if item.is_file()) if root.is_dir() else [root]:
            if file != root:
                digest.update(file.relative_to(root).as_posix().encode())
            with file.open("rb") as stream:
                while piece := stream.read(1 << 20):  # in pieces, since it can be large
                    digest.update(piece)
    except OSError as error:
        raise ArtifactError(unreadable(root, error)) from None
    return digest.hexdigest()


def stream_digest(stream: BinaryIO) -> str:
    """Hexadecimal SHA-256 of what an open file holds."""
    digest = hashlib.sha256()
    stream.seek(0)
    while piece := stream.read(1 << 20):  # in pieces, since it can be large
        digest.update(piece)
    return digest.hexdigest()


def open_regular(path: str | Path, *, follow_links: bool = True) -> BinaryIO:
    """Open a file for reading in bytes, if it is a regular one: reading a pipe or a device could wait without end.

    Args:
        path: The file.
        follow_links: If false, a symbolic link is refused as well.

    Raises:
        ArtifactError: If there is no such file, it cannot be read, or it is not a regular file.
    """
    path = Path(path)
    flags = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | (0 if follow_links else os.O_NOFOLLOW)
    try:
        descriptor = os.open(path, flags)
    except OSError as error:
        raise ArtifactError(unreadable(path, error)) from None
    if stat.S_ISREG(os.fstat(descriptor).st_mode):
        return os.fdopen(descriptor, "rb")
    os.close(descriptor)
    raise ArtifactError(problem(str(path), "is not a regular file", hint="a folder, pipe or device cannot be read"))


def require_regular(path: str | Path) -> None:
    """Refuse what ``open_regular`` refuses, before a library opens the file itself."""
    open_regular(path).close()


def unreadable(path: Path, error: OSError) -> str:
    """The message about a file that cannot be read."""
    reason = "there is no such file" if isinstance(error, FileNotFoundError) else f"cannot be read: {error.strerror}"
    return problem(str(path), reason)


@contextlib.contextmanager
def locked(path: str | Path, *, timeout: float = -1.0) -> Iterator[bool]:
    """Hold the lock of a file while the block runs; other processes wait for it.

    The operating system releases the lock when the process ends, even if it is killed. Where locks are not possible
    (a read-only folder, a file system without locks), the block runs without a lock.

    Args:
        path: The file that the lock protects; its folder is created if needed, and ``PATH.lock`` remains in it. A path
            that ends in ``.lock`` is itself the lock.
        timeout: Seconds to wait; if negative, without limit.

    Yields:
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
    if own := os.environ.get("XDG_CACHE_HOME"):
        return Path(own) / "equipot"
    try:
        return Path.home() / ".cache" / "equipot"
    except RuntimeError:
        hint = "set EQUIPOT_CACHE_DIR to a folder of your own"
        raise ArtifactError(problem("cache", "there is no home folder to keep it in", hint=hint)) from None


def code_folder() -> Path:
    """The folder for temporary files, from which compilers and torch run native code.

    Returns:
        ``TMPDIR`` (or ``TMP``, ``TEMP``), else ``/tmp``.

    Raises:
        ArtifactError: If it is missing, cannot be written, or code in it may not run, saying what to set.
    """
    name = next((name for name in ("TMPDIR", "TMP", "TEMP") if os.environ.get(name)), "TMPDIR")
    folder = Path(os.environ.get(name) or "/tmp")  # noqa: S108 - where torch puts its files, too
    if reason := no_code(folder):
        what = f"the folder for temporary files {reason}, but native code is made in it or loaded from it"
        hint = f"set {name} to a folder that allows it, e.g. export {name}=$HOME/tmp"
        raise ArtifactError(problem(name, what, got=str(folder), hint=hint))
    return folder


def no_code(folder: Path) -> str:
    """Why native code can be neither made in a folder nor loaded from it, or an empty text."""
    if not folder.is_dir():
        return "does not exist"
    if not os.access(folder, os.W_OK | os.X_OK):
        return "cannot be written"
    if os.statvfs(folder).f_flag & getattr(os, "ST_NOEXEC", 0):
        return "does not allow execution (it is mounted with noexec)"
    return ""
