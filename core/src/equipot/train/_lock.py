"""One owner for the folder of a run."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from equipot._processes import is_first
from equipot.errors import ConfigError, EquipotError, problem
from equipot.files import locked, write_json

LOCK, OWNER = "run.lock", "run.json"
"""What the operating system locks, and who did it; the second is there as long as the run is."""

BEAT = 5.0
"""Seconds between two heartbeats."""


@contextlib.contextmanager
def owned(folder: Path) -> Iterator[None]:
    """Be the only process that writes into a folder while the block runs.

    The operating system frees the lock of a process that ended, however it ended. Not every network file system
    knows locks of other machines, so the owner also writes a heartbeat.

    Args:
        folder: Of the run; it must exist. Only the first process of a run takes the lock.

    Raises:
        ConfigError: If another process has it, naming machine and process.
    """
    if not is_first():
        yield
        return
    with locked(folder / LOCK, timeout=0.0 if _is_alive(_owner(folder)) else 2 * BEAT) as free:
        owner = _owner(folder)
        if not free or (owner and owner["host"] != socket.gethostname() and _beats(folder, owner)):
            where = f"process {owner.get('process', '?')} on {owner.get('host', '?')}"
            hint = "wait for its end, or choose another folder"
            raise ConfigError(problem("--output", f"{where} writes into the folder", got=str(folder), hint=hint))
        over = threading.Event()
        _beat(folder)
        thread = threading.Thread(target=_heartbeat, args=(folder, over), daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()
            with contextlib.suppress(OSError):
                (folder / OWNER).unlink(missing_ok=True)


def _owner(folder: Path) -> dict[str, Any]:
    try:
        found = json.loads((folder / OWNER).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) and {"host", "process", "heartbeat"} <= found.keys() else {}


def _is_alive(owner: dict[str, Any]) -> bool:
    """Whether the owner is, or may be, alive; processes that a dead one leaves keep its lock for some seconds."""
    if not owner or owner["host"] != socket.gethostname():
        return bool(owner)
    try:
        os.kill(int(owner["process"]), 0)
    except ProcessLookupError:
        return False
    except (OSError, ValueError):
        return True
    return True


def _beats(folder: Path, owner: dict[str, Any]) -> bool:
    """Whether a heartbeat changes: clocks of two machines cannot be compared."""
    until = time.monotonic() + 3 * BEAT
    while time.monotonic() < until:
        time.sleep(BEAT / 10)
        if (now := _owner(folder)) != owner:
            return bool(now)
    return False


def _beat(folder: Path) -> None:
    now = {"host": socket.gethostname(), "process": os.getpid(), "heartbeat": time.time()}
    with contextlib.suppress(EquipotError, OSError):
        write_json(folder / OWNER, now)


def _heartbeat(folder: Path, over: threading.Event) -> None:
    while not over.wait(BEAT):
        _beat(folder)
