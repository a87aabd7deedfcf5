"""What equipot-template declares; this module must stay light: no torch."""

from collections.abc import Iterator

from equipot import hookimpl
from equipot.declarations import StatsManagerEntry


@hookimpl
def equipot_stats_managers() -> Iterator[StatsManagerEntry]:
    """Declare the statistics manager."""
    yield StatsManagerEntry(
        name="Template",
        target="equipot_template.manager.Template",
        summary="Statistics manager Template",
    )
