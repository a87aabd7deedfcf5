"""Use a model in ASE: ``EquipotCalculator``, and its parts that other engines share."""

from __future__ import annotations

from equipot.ase._calculator import EquipotCalculator
from equipot.ase._guard import Guard
from equipot.ase._skin import SkinNeighbors

__all__ = ["EquipotCalculator", "Guard", "SkinNeighbors"]
