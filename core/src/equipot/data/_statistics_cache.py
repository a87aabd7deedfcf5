"""Statistics on disk by content: a second run with the same data and model reads them back."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from equipot import files
from equipot.errors import ArtifactError

if TYPE_CHECKING:
    from equipot.data._statistic_entries import StatisticValue

logger = logging.getLogger(__name__)

FORMAT_VERSION = 1
"""Raised whenever the definition of a statistic changes, so that old files are not used."""


def cached_statistics(
    folder: Path | None,
    key: Mapping[str, Any],
    compute: Callable[[], dict[str, StatisticValue]],
) -> dict[str, StatisticValue]:
    """Read statistics from the cache, or compute and store them.

    Of several processes that want the same, one computes; the others wait and read what it stored.

    Args:
        folder: ``.equipot_cache`` or None for no cache.
        key: All that the values depend on, in plain containers.
        compute: Called if there is no file.
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
