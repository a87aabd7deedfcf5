"""Statistics on disk by content: a second run with the same data and model reads them back."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from equipot.data._statistic_entries import StatisticValue

logger = logging.getLogger(__name__)

FORMAT_VERSION = 1
"""Raised whenever the definition of a statistic changes, so that old files are not used."""

_WAIT_SECONDS = 1800.0


def cached_statistics(
    folder: Path | None,
    key: Mapping[str, Any],
    compute: Callable[[], dict[str, StatisticValue]],
) -> dict[str, StatisticValue]:
    """Read statistics from the cache, or compute and store them.

    The first process of a run computes; the others wait for its file.

    Args:
        folder: ``.equipot_cache`` or None for no cache.
        key: All that the values depend on, in plain containers.
        compute: Called if there is no file.
    """
    if folder is None:
        return compute()
    text = json.dumps({**key, "format_version": FORMAT_VERSION}, sort_keys=True)
    file = folder / "statistics" / f"{hashlib.sha256(text.encode()).hexdigest()}.json"
    if _rank() != 0:
        _wait_for(file)
    if (stored := _read(file)) is not None:
        logger.info("statistics read from %s", file)
        return stored
    values = compute()
    _write(file, {"values": values, "key": dict(key)})
    return values


def _read(file: Path) -> dict[str, StatisticValue] | None:
    try:
        record = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        logger.warning("%s is not readable (%s); statistics are computed again", file, error)
        return None
    values: dict[str, StatisticValue] = record["values"]
    return values


def _write(file: Path, record: dict[str, Any]) -> None:
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        descriptor, temporary = tempfile.mkstemp(dir=file.parent, suffix=".tmp")
        with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
            json.dump(record, stream, indent=1, sort_keys=True)
        Path(temporary).replace(file)
    except OSError as error:
        logger.warning("statistics are not kept for the next run: %s", error)


def _rank() -> int:
    for name in ("RANK", "SLURM_PROCID", "LOCAL_RANK"):
        if os.environ.get(name, "").isdigit():
            return int(os.environ[name])
    return 0


def _wait_for(file: Path) -> None:
    deadline = time.monotonic() + _WAIT_SECONDS
    while not file.exists() and time.monotonic() < deadline:
        time.sleep(0.2)
