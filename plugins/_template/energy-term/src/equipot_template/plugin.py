"""What equipot-template declares; this module must stay light: no torch."""

from collections.abc import Iterator

from equipot import hookimpl
from equipot.declarations import EnergyTermEntry


@hookimpl
def equipot_energy_terms() -> Iterator[EnergyTermEntry]:
    """Declare the energy term."""
    yield EnergyTermEntry(
        name="Template",
        target="equipot_template.term.Template",
        summary="Energy term Template",
    )
