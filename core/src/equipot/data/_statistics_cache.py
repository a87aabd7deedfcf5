"""Statistics on disk, found by what they depend on: a second run with the same data and model reads them."""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import socket
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from equipot import caches, files
from equipot._version import __version__
from equipot.data._statistic_entries import StatisticValue
from equipot.errors import ArtifactError

logger = logging.getLogger(__name__)

FORMAT_VERSION = 3
"""Increased when the definition of a statistic changes, so that old files are not read."""

PATIENCE = 5.0
"""Seconds after which a process says that it waits for another one."""


def cached_statistics(
    folder: Path | None, key: Mapping[str, Any], compute: Callable[[], dict[str, StatisticValue]]
) -> dict[str, StatisticValue]:
    """Read statistics from the cache folder, or compute and store them; None: no cache.

    ``key`` says in plain containers what the values depend on. Of several processes that need the same statistics,
    one computes them; the others wait and read its file. The file states the digest of its contents: one that was
    edited or damaged, or that another user can have written, is not read, and a warning says so.
    """
    if folder is None or not caches.own_folder(folder / "statistics"):
        return compute()
    text = json.dumps({**key, "format_version": FORMAT_VERSION}, sort_keys=True)
    file = folder / "statistics" / f"{hashlib.sha256(text.encode()).hexdigest()}.json"
    with _turn(file):
        stored: dict[str, StatisticValue] | None = caches.read_entry(file, text, _is_valid)
        if stored is not None:
            logger.info("statistics read from %s", file)
            return stored
        values = compute()
        try:
            caches.write_entry(file, text, values)
        except (ArtifactError, OSError) as error:
            logger.warning("statistics are not kept for the next run: %s", error)
    return values


def code_of(*components: object) -> list[str]:
    """What computes statistics, as a part of the key: equipot's version, and digests of the components' source files.

    Args:
        components: The manager and the transforms, of equipot or of plugins.
    """
    files_of = {getattr(sys.modules.get(type(one).__module__), "__file__", None) for one in components}
    return [__version__, *sorted(files.file_digest(file) for file in files_of if file)]


@contextlib.contextmanager
def _turn(file: Path) -> Iterator[None]:
    """Wait until no other process computes this file; after some seconds, say which one does."""
    owner = file.with_suffix(".owner")
    with contextlib.ExitStack() as held:
        if not held.enter_context(files.locked(file, timeout=PATIENCE)):
            name = (caches.own_bytes(owner, 1000) or b"another process").decode(errors="replace")
            logger.warning("waiting for %s, which computes the same statistics", name)
            held.enter_context(files.locked(file))
        with contextlib.suppress(ArtifactError, OSError):
            caches.write_text(owner, f"process {os.getpid()} on {socket.gethostname()}")
        try:
            yield
        finally:
            with contextlib.suppress(OSError):
                owner.unlink(missing_ok=True)


def _is_valid(values: object) -> bool:
    """Whether these are numbers by name, or by name and type."""
    if not isinstance(values, dict):
        return False
    numbers = [number for one in values.values() for number in (one.values() if isinstance(one, dict) else [one])]
    return all(type(number) in (int, float) for number in numbers)
