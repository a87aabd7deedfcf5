"""Folders and entries of caches, which count only if no other user can have written them.

What a cache says is used without asking: numbers, files that may run, native code. So folders and files belong to this
user (or root) and only their owner may write to them, and entries state the digest of their contents. Anything else is
as if it were not there, and one line says so.
"""

from __future__ import annotations

import functools
import hashlib
import json
import logging
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

from equipot.errors import ArtifactError
from equipot.files import atomic, open_regular

logger = logging.getLogger(__name__)

_MAX_BYTES = 16 * 1024**2
"""Largest entry that is read."""


def distrust(status: os.stat_result) -> str:
    """Why a file or folder is not believed, or an empty text.

    Args:
        status: Of ``os.stat`` or, to be safe from a change in between, ``os.fstat`` of what was opened.
    """
    if status.st_uid not in (os.getuid(), 0):
        return "it belongs to another user"
    if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        return "other users can write to it"
    return ""


def own_folder(folder: Path) -> bool:
    """Whether a folder of a cache can be used; made for this user alone if there is none. If not, one line says why."""
    if reason := refusal(folder):
        _say(f"{folder} is not used: {reason}; choose another cache folder")
    return not reason


def refusal(folder: Path) -> str:
    """Why a folder of a cache cannot be used, or an empty text; it is made for this user alone if there is none."""
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        reason = distrust(folder.stat())
    except OSError as error:
        return f"it cannot be made ({error.strerror})"
    return reason or ("" if os.access(folder, os.W_OK | os.X_OK) else "it cannot be written")


def own_bytes(path: Path, limit: int | None = None) -> bytes | None:
    """The contents of a file of a cache; None if there is none, or it is not believed, which one line says.

    Args:
        path: The file; it must not be a link.
        limit: Most bytes that are read.
    """
    if (file := own_stream(path)) is None:
        return None
    with file:
        if limit is None or os.fstat(file.fileno()).st_size <= limit:
            try:
                return file.read()
            except OSError as error:
                _say(_not_believed(path, str(error)))
                return None
    _say(_not_believed(path, f"it has more than {limit} bytes"))
    return None


def own_stream(path: Path) -> BinaryIO | None:
    """A file of a cache, open for reading; None as for ``own_bytes``."""
    try:
        file = open_regular(path, follow_links=False)
    except ArtifactError as error:
        if os.path.lexists(path):
            _say(_not_believed(path, str(error).removeprefix(f"{path}: ")))
        return None
    if refused := _refusal(path.parent, path.parent.stat()) or _refusal(path, os.fstat(file.fileno())):
        file.close()
        _say(refused)
        return None
    return file


def say_damaged(path: Path) -> None:
    """Warn once that a file of a cache does not have the contents that it should have."""
    _say(_not_believed(path, "it is damaged or was edited"))


def _refusal(place: Path, status: os.stat_result) -> str:
    reason = distrust(status)
    return _not_believed(place, reason) if reason else ""


def _not_believed(place: Path, reason: str) -> str:
    return f"{place} is not believed: {reason}; remove it, or choose another cache folder"


def read_entry(path: Path, key: str, is_valid: Callable[[Any], bool]) -> Any:
    """The contents of an entry, plain JSON containers; None if there is none, or it is not believed or is damaged.

    Args:
        path: Of ``write_entry``.
        key: What the entry is about; another entry under this name does not count.
        is_valid: Whether contents are of the right types.
    """
    raw = own_bytes(path, _MAX_BYTES)
    if raw is None:
        return None
    try:
        record = json.loads(raw)
        content = record["content"]
        if record["key"] == key and record["sha256"] == _digest(key, content) and is_valid(content):
            return content
    except (ValueError, TypeError, KeyError, RecursionError):
        pass
    say_damaged(path)
    return None


def write_entry(path: Path, key: str, content: Any) -> None:
    """Write or replace an entry, with the digest of its contents, as ``write_text``.

    Args:
        path: The file; its folder is one of ``own_folder``.
        key: What the entry is about.
        content: Plain JSON containers.

    Raises:
        ArtifactError: As ``files.atomic``.
    """
    record = {"content": content, "key": key, "sha256": _digest(key, content)}
    write_text(path, json.dumps(record, indent=2) + "\n")


def write_text(path: Path, text: str) -> None:
    """Write or replace a file of a cache, which this user alone can read and write, with ``files.atomic``."""
    with atomic(path) as temporary:
        temporary.chmod(0o600)
        temporary.write_text(text, encoding="utf-8")


def _digest(key: str, content: object) -> str:
    return hashlib.sha256(json.dumps([key, content], sort_keys=True).encode()).hexdigest()


@functools.lru_cache(maxsize=256)
def _say(text: str) -> None:
    """Warn once: a cache is asked often."""
    logger.warning("%s", text)
