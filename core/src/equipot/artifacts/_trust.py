"""Which compiled files may run: those built on this machine, and those the user allows by name.

A compiled file is native code. The SHA-256 of each file built here is remembered in the user's cache folder, with the
machines on which its golden frames were reproduced. Nothing in the file itself counts.
"""

from __future__ import annotations

import json
import logging
import platform
from pathlib import Path
from typing import Any

from equipot.errors import ArtifactError
from equipot.files import cache_folder, write_json

logger = logging.getLogger(__name__)


def built_here(digest: str) -> bool:
    """Whether this user built the file with this digest."""
    return bool(_read(digest).get("built"))


def verified_here(digest: str) -> bool:
    """Whether its golden frames were reproduced on this machine with this torch."""
    return _machine() in _read(digest).get("verified", [])


def remember(digest: str, *, built: bool) -> None:
    """Note that a file reproduced its golden frames here, and whether it was built here (once noted, it stays so)."""
    known = _read(digest)
    entry = {
        "built": built or bool(known.get("built")),
        "verified": sorted({*known.get("verified", []), _machine()}),
    }
    path = _entry(digest)
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        write_json(path, entry)
    except (OSError, ArtifactError):
        text = "%s cannot be written: compiled files will need --allow-native; set EQUIPOT_CACHE_DIR to another folder"
        logger.warning(text, path.parent)


def _entry(digest: str) -> Path:
    return cache_folder() / "compiled" / f"{digest}.json"


def _read(digest: str) -> dict[str, Any]:
    try:
        entry = json.loads(_entry(digest).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return entry if isinstance(entry, dict) and isinstance(entry.get("verified", []), list) else {}


def _machine() -> str:
    """Everything that the numbers of a compiled file may depend on."""
    import torch

    return f"{platform.node()} {cpu_capability()} torch {torch.__version__}"


def cpu_capability() -> str:
    """Vector instructions of this CPU as torch names them, e.g. ``AVX2``."""
    import torch

    return str(torch.backends.cpu.get_cpu_capability())
