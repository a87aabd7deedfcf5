"""Statistics on disk, found by what they depend on: a second run with the same data and model reads them."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from equipot import files
from equipot.data._statistic_entries import StatisticValue
from equipot.errors import ArtifactError

logger = logging.getLogger(__name__)

FORMAT_VERSION = 1
"""Increased when the definition of a statistic changes, so that old files are not read."""


def cached_statistics(
    folder: Path | None, key: Mapping[str, Any], compute: Callable[[], dict[str, StatisticValue]]
) -> dict[str, StatisticValue]:
    """Read statistics from the cache folder, or compute and store them; None: no cache.

    ``key`` says in plain containers what the values depend on. Of several processes that need the same statistics,
    one computes them; the others wait and read its file.
    """
    if folder is None:
        return compute()
    text = json.dumps({**key, "format_version": FORMAT_VERSION}, sort_keys=True)
    file = folder / "statistics" / f"{hashlib.sha256(text.encode()).hexdigest()}.json"
    with files.locked(file):
        if (stored := _read(file)) is not None:
            logger.info("statistics read from %s", file)
            return stored
        values = compute()
        try:
            files.write_json(file, {"values": values, "key": dict(key)})
        except (ArtifactError, OSError) as error:
            logger.warning("statistics are not kept for the next run: %s", error)
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
