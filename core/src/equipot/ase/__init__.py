"""Use a model in ASE: ``EquipotCalculator``."""

from __future__ import annotations

from equipot.ase._calculator import EquipotCalculator

__all__ = ["EquipotCalculator"]
