"""What ASE's plugin system, which is experimental, asks of a package; it imports the calculator when that is used."""

from __future__ import annotations

from typing import Any


def _declared() -> set[Any]:
    """The calculator; nothing for an ASE whose plugins look different."""
    try:
        from ase._4.plugins.plugin import CalculatorPlugin

        return {CalculatorPlugin("equipot", implementation="equipot.ase.EquipotCalculator")}
    except (ImportError, TypeError):
        return set()


__ase_plugins__ = _declared()
