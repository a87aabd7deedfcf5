"""What this package declares."""

from __future__ import annotations

from typing import TYPE_CHECKING

from equipot import hookimpl
from equipot.declarations import EnergyTermEntry, FieldEntry, ModifierEntry

if TYPE_CHECKING:
    from collections.abc import Iterator


@hookimpl
def equipot_energy_terms() -> Iterator[EnergyTermEntry]:
    """Declare the term."""
    yield EnergyTermEntry(
        name="LatentElectrostatics",
        target="equipot_electrostatics.LatentElectrostatics",
        summary="Coulomb energy of learned charges, Ewald sum or all pairs of a molecule",
    )


@hookimpl
def equipot_modifiers() -> Iterator[ModifierEntry]:
    """Declare the modifier that shows the charges."""
    yield ModifierEntry(
        name="enable_LatentCharges",
        target="equipot_electrostatics.enable_LatentCharges",
        summary="Give out the charges that a term LatentElectrostatics has learned",
        persistent=True,
        provides=("latent_charges",),
    )


@hookimpl
def equipot_fields() -> Iterator[FieldEntry]:
    """Declare the learned charges, which nothing measures."""
    yield FieldEntry(
        key="latent_charges",
        per="atom",
        shape=("n_atoms", "n_channels"),
        unit="e",
        irreps="0e",
        meaning="charges that the electrostatic term has learned; nothing measures them",
    )
