"""``python -m equipot_toolbox.convert DATA… OUT.lmdb``: convert labelled data to one LMDB file."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from equipot.data import ConvergedFrames, read_placed
from equipot.errors import EquipotError


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
    given = parser.parse_args(arguments)
    if Path(given.out).suffix != ".lmdb":
        parser.error(f"the last argument must be a file name that ends in .lmdb, got {given.out!r}")
    from equipot_toolbox._lmdb_dataset import write_lmdb

    try:
        frames = ConvergedFrames(read_placed(given.data), given.unconverged)
        count = write_lmdb(given.out, (atoms for _, atoms in frames))
    except EquipotError as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201 - command line output
        return 2
    print(f"{given.out}: {count} frames")  # noqa: T201 - command line output
    return 0


if __name__ == "__main__":
    sys.exit(main())
