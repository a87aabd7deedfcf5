"""What this package declares."""

from __future__ import annotations

from typing import TYPE_CHECKING

from equipot import hookimpl
from equipot.declarations import FieldEntry, ModifierEntry

if TYPE_CHECKING:
    from collections.abc import Iterator


@hookimpl
def equipot_fields() -> Iterator[FieldEntry]:
    """Declare dipole moments and charges, which data may have as labels."""
    yield FieldEntry(
        key="dipole",
        per="frame",
        shape=("n_frames", 3),
        unit="e Å",
        irreps="1o",
        meaning="dipole moment of a molecule, of an ion relative to its centre of mass",
        label=True,
        ase_property="dipole",
        extensive=True,
    )
    yield FieldEntry(
        key="charges",
        per="atom",
        shape=("n_atoms",),
        unit="e",
        irreps="0e",
        meaning="partial charges",
        label=True,
        ase_property="charges",
    )


@hookimpl
def equipot_modifiers() -> Iterator[ModifierEntry]:
    """Declare the modifier that adds the head."""
    yield ModifierEntry(
        name="add_Dipoles",
        target="equipot_dipoles.add_Dipoles",
        summary="Predict dipole moments and partial charges of molecules",
        persistent=True,
        provides=("dipole", "charges"),
    )
