"""What equipot-template declares; this module must stay light: no torch."""

from collections.abc import Iterator

from equipot import hookimpl
from equipot.declarations import PairPotentialEntry


@hookimpl
def equipot_pair_potentials() -> Iterator[PairPotentialEntry]:
    """Declare the pair potential."""
    yield PairPotentialEntry(
        name="Template",
        target="equipot_template.potential.Template",
        summary="Pair potential Template",
    )
