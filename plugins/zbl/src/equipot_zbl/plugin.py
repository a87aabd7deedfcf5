"""What this package declares."""

from __future__ import annotations

from typing import TYPE_CHECKING

from equipot import hookimpl
from equipot.declarations import PairPotentialEntry

if TYPE_CHECKING:
    from collections.abc import Iterator


@hookimpl
def equipot_pair_potentials() -> Iterator[PairPotentialEntry]:
    """Declare ZBL."""
    yield PairPotentialEntry(
        name="ZBL",
        target="equipot_zbl.ZBL",
        summary="Screened nuclear repulsion (Ziegler, Biersack, Littmark)",
    )
