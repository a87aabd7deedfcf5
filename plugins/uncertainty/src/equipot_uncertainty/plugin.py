"""What this package declares."""

from __future__ import annotations

from typing import TYPE_CHECKING

from equipot import hookimpl
from equipot.declarations import CommandEntry, FieldEntry, ModifierEntry

if TYPE_CHECKING:
    from collections.abc import Iterator


@hookimpl
def equipot_fields() -> Iterator[FieldEntry]:
    """What the head predicts."""
    yield FieldEntry(
        key="energy_std", per="frame", shape=("n_frames",), unit="eV", irreps="0e", ase_property="energy_std",
        meaning="standard deviation of the error of the total energy", std_of="total_energy",
    )  # fmt: skip
    yield FieldEntry(
        key="atomic_energy_std", per="atom", shape=("n_atoms",), unit="eV", irreps="0e",
        ase_property="atomic_energy_std", meaning="what an atom alone would give to the uncertainty of the energy",
        std_of="atomic_energy",
    )  # fmt: skip
    yield FieldEntry(
        key="forces_std", per="atom", shape=("n_atoms",), unit="eV/Å", irreps="0e", ase_property="forces_std",
        meaning="standard deviation of the error of a component of the force on the atom", std_of="forces",
    )  # fmt: skip


@hookimpl
def equipot_modifiers() -> Iterator[ModifierEntry]:
    """The head."""
    yield ModifierEntry(
        name="add_LastLayerUncertainty",
        target="equipot_uncertainty._head.add_last_layer_uncertainty",
        summary="A head for the uncertainty of energies and forces; 'equipot uncertainty add' fits it",
        persistent=True,
        exact_without=False,
    )


@hookimpl
def equipot_commands() -> Iterator[CommandEntry]:
    """Declare the commands."""
    yield CommandEntry(
        name="uncertainty",
        target="equipot_uncertainty._commands.command",
        summary="Give a model calibrated uncertainties, and judge committees",
    )
    yield CommandEntry(
        name="select",
        target="equipot_uncertainty._select_command.command",
        summary="Choose the structures of a pool that are worth a calculation",
    )
