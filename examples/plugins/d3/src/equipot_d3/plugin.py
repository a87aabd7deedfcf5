"""What this package declares."""

from __future__ import annotations

from typing import TYPE_CHECKING

from equipot import hookimpl
from equipot.declarations import EnergyTermEntry

if TYPE_CHECKING:
    from collections.abc import Iterator


@hookimpl
def equipot_energy_terms() -> Iterator[EnergyTermEntry]:
    """Declare the term."""
    yield EnergyTermEntry(
        name="D3Dispersion",
        target="equipot_d3.term.D3Dispersion",
        summary="Grimme's D3 dispersion with Becke-Johnson damping, two-body",
    )
