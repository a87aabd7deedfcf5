"""Quantities that configs name as ``equipot.data.NAME``; they live in ``equipot.quantities``."""

from __future__ import annotations

from equipot.quantities import EdgeLengths, NumNeighbors, PerAtomModifier, as_quantity

__all__ = ["EdgeLengths", "NumNeighbors", "PerAtomModifier", "as_quantity"]
