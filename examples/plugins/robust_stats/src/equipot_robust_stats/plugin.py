"""What this package declares."""

from __future__ import annotations

from typing import TYPE_CHECKING

from equipot import hookimpl
from equipot.declarations import StatsManagerEntry

if TYPE_CHECKING:
    from collections.abc import Iterator


@hookimpl
def equipot_stats_managers() -> Iterator[StatsManagerEntry]:
    """Declare the manager."""
    yield StatsManagerEntry(
        name="RobustStatisticsManager",
        target="equipot_robust_stats.manager.RobustStatisticsManager",
        summary="Scale of the forces that a few huge ones do not move",
    )
