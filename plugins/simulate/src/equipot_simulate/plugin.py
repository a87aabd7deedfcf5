"""What this package declares."""

from __future__ import annotations

from typing import TYPE_CHECKING

from equipot import hookimpl
from equipot.declarations import CommandEntry

if TYPE_CHECKING:
    from collections.abc import Iterator


@hookimpl
def equipot_commands() -> Iterator[CommandEntry]:
    """Declare the commands."""
    for name, summary in (
        ("md", "Run molecular dynamics of a structure, or of many"),
        ("relax", "Relax a structure, or many: positions, and the cell if asked for"),
        ("phonons", "Compute phonon bands, density of states and thermal properties of a crystal"),
        ("eos", "Compute the equation of state of a crystal: volume and bulk modulus"),
        ("elastic", "Compute the elastic constants of a crystal"),
        ("infrared", "Compute the infrared spectrum of a molecule from molecular dynamics with dipole moments"),
        ("predict", "Compute energies, forces and stresses of many structures"),
    ):
        yield CommandEntry(name=name, target=f"equipot_simulate._{name}_command.command", summary=summary)
