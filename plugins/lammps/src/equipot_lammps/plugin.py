"""What this package declares."""

from __future__ import annotations

from typing import TYPE_CHECKING

from equipot import hookimpl
from equipot.declarations import CommandEntry, ExportTargetEntry

if TYPE_CHECKING:
    from collections.abc import Iterator


@hookimpl
def equipot_export_targets() -> Iterator[ExportTargetEntry]:
    """Declare the engine."""
    yield ExportTargetEntry(
        name="lammps",
        target="equipot_lammps.LammpsTarget",
        summary="LAMMPS on any number of MPI ranks, with pair_style equipot",
    )


@hookimpl
def equipot_commands() -> Iterator[CommandEntry]:
    """Declare the command."""
    yield CommandEntry(
        name="lammps",
        target="equipot_lammps._command.command",
        summary="Build pair_style equipot, and check or show files for it",
        diagnosis="equipot_lammps._info.diagnosis",
    )
