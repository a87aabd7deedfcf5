"""The error of this package."""

from __future__ import annotations

from equipot.errors import EquipotError


class LammpsError(EquipotError):
    """LAMMPS, its pair style, or a model in it cannot be used."""
