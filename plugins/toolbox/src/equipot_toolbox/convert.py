"""``python -m equipot_toolbox.convert DATA… OUT.lmdb``: store structures in one LMDB file, for sets larger than memory.

``LMDBDataset`` reads it frame by frame; every number of a structure has the key of the original. For data that fit into
memory, ``equipot data convert`` writes the labels alone to NPZ, extended XYZ or a database.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from equipot.commands import named_values, option_names
from equipot.data import ConvergedFrames, read_placed
from equipot.errors import EquipotError

_NAMES = {"data.unconverged": "--unconverged", "species": "--species", "ase_args": "--ase-args"}
"""Options of configs that this command has as well."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Convert files.

    Args:
        arguments: Command line arguments; None: those of the process.

    Returns:
        Exit code: 0, or 2 after a message on standard error.
    """
    parser = argparse.ArgumentParser(prog="python -m equipot_toolbox.convert", description=__doc__)
    parser.add_argument("data", nargs="+", help="labelled data, e.g. extxyz, in the order of their frames")
    parser.add_argument("out", help="the LMDB file to write; an existing file is replaced")
    parser.add_argument(
        "--unconverged", choices=("error", "drop", "use"), default="error", help="frames that did not converge"
    )
    parser.add_argument(
        "--species",
        action="append",
        default=[],
        metavar="NAME=ELEMENT",
        help="element of a name of atoms that is not a symbol, e.g. OW=O; may be repeated",
    )
    parser.add_argument(
        "--ase-args",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="format, index and further arguments of the reader, e.g. index=:100; may be repeated",
    )
    given = parser.parse_args(arguments)
    if Path(given.out).suffix != ".lmdb":
        parser.error(f"the last argument must be a file name that ends in .lmdb, got {given.out!r}")
    from equipot_toolbox._lmdb_dataset import write_lmdb

    try:
        species = named_values(given.species, "--species", "OW=O")
        ase_args = named_values(given.ase_args, "--ase-args", "index=:100")
        with option_names(_NAMES):
            frames = ConvergedFrames(read_placed(given.data, ase_args, species), given.unconverged)
            count = write_lmdb(given.out, (atoms for _, atoms in frames))
    except EquipotError as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201 - command line output
        return 2
    print(f"{given.out}: {count} frames")  # noqa: T201 - command line output
    return 0


if __name__ == "__main__":
    sys.exit(main())
