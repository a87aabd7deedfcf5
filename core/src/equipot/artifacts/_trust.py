"""Which compiled files may run: those that this user built, and those that are allowed by name.

A compiled file is native code. The SHA-256 of each file built here is remembered in the user's cache folder, with the
machines on which its golden frames were reproduced. Nothing in the file itself counts, and an edited file is another
one.
"""

from __future__ import annotations

import logging
import platform
from pathlib import Path
from typing import NamedTuple

from equipot import caches
from equipot.errors import ArtifactError
from equipot.files import cache_folder, locked

logger = logging.getLogger(__name__)


class Known(NamedTuple):
    """What is remembered about a file."""

    built: bool = False
    """Whether this user built it."""
    verified: tuple[str, ...] = ()
    """The machines on which its golden frames were reproduced."""


def built_here(digest: str) -> bool:
    """Whether this user built the file with this digest."""
    return _read(digest).built


def verified_here(digest: str) -> bool:
    """Whether its golden frames were reproduced on this machine with this torch."""
    return _machine() in _read(digest).verified


def remember(digest: str, *, built: bool) -> None:
    """Note that a file reproduced its golden frames here, and whether it was built here (once noted, it stays so)."""
    path = _entry(digest)
    if caches.own_folder(path.parent):
        with locked(path):
            known = _read(digest)
            entry = {"built": built or known.built, "verified": sorted({*known.verified, _machine()})}
            try:
                caches.write_entry(path, digest, entry)
            except (OSError, ArtifactError):
                pass
            else:
                return
    if built:
        text = "%s cannot be written: compiled files will need --allow-native; set EQUIPOT_CACHE_DIR to another folder"
        logger.warning(text, path.parent)


def folder() -> Path:
    """Where the files built here are remembered."""
    return cache_folder() / "compiled"


def _entry(digest: str) -> Path:
    return folder() / f"{digest}.json"


def _read(digest: str) -> Known:
    entry = caches.read_entry(_entry(digest), digest, _is_valid)
    return Known() if entry is None else Known(entry["built"], tuple(entry["verified"]))


def _is_valid(entry: object) -> bool:
    if not isinstance(entry, dict) or entry.keys() != {"built", "verified"} or type(entry["built"]) is not bool:
        return False
    verified = entry["verified"]
    return isinstance(verified, list) and all(isinstance(machine, str) for machine in verified)


def _machine() -> str:
    """Everything that the numbers of a compiled file may depend on."""
    import torch

    return f"{platform.node()} {cpu_capability()} torch {torch.__version__}"


def cpu_capability() -> str:
    """Vector instructions of this CPU as torch names them, e.g. ``AVX2``."""
    import torch

    return str(torch.backends.cpu.get_cpu_capability())
