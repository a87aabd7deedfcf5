"""Unit systems and physical constants, each with its source.

Lengths are always in Å. A model's energies are in the unit of its training data, ``metal`` (eV) or ``real``
(kcal/mol), which is stored with the model; adapters to engines convert.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

Units = Literal["metal", "real"]

KCAL_PER_MOL_IN_EV = 0.0433641153087705
"""1 kcal/mol in eV: 4184 J / (N_A e), CODATA 2018 (exact constants of the 2019 SI)."""

COULOMB_CONSTANT: dict[Units, float] = {"metal": 14.399645, "real": 332.06371}
"""e^2 / (4 pi eps_0) in eV Å and kcal/mol Å: LAMMPS ``force->qqr2e`` for the two unit styles."""


@dataclass(frozen=True)
class UnitSystem:
    """Names and conversions of one unit system."""

    name: Units
    energy: str
    length: str
    energy_in_ev: float


UNIT_SYSTEMS: dict[Units, UnitSystem] = {
    "metal": UnitSystem("metal", "eV", "Å", 1.0),
    "real": UnitSystem("real", "kcal/mol", "Å", KCAL_PER_MOL_IN_EV),
}


_ENERGY = re.compile(r"/|(?<![A-Za-z])eV(?![A-Za-z])([²³]|\^?-?\d)?")


def energy_power(unit: str) -> int:
    """Power of the energy in a unit that is written with eV; what follows the first stroke is below it.

    Example:
        >>> energy_power("eV/Å"), energy_power("e Å"), energy_power("e²Å²/eV")
        (1, 0, -1)
    """
    power, sign = 0, 1
    for found in _ENERGY.finditer(unit):
        if found.group() == "/":
            sign = -1
        else:
            stated = {"²": "2", "³": "3", None: "1"}.get(found[1], found[1])
            power += sign * int(str(stated).lstrip("^"))
    return power


def in_ev(unit: str, units: Units) -> float:
    """What numbers of a unit system are multiplied with, to be in a unit that is written with eV.

    Example:
        >>> in_ev("eV/Å", "real") == KCAL_PER_MOL_IN_EV, in_ev("e Å", "real")
        (True, 1.0)
    """
    return UNIT_SYSTEMS[units].energy_in_ev ** energy_power(unit)


def unit_in(unit: str, units: Units) -> str:
    """A unit that is written with eV in the words of a unit system.

    Example:
        >>> unit_in("eV/Å", "real"), unit_in("e Å", "real"), unit_in("e²/eV", "real")
        ('kcal/mol/Å', 'e Å', 'e²/(kcal/mol)')
    """
    if units == "metal":
        return unit
    energy, below = UNIT_SYSTEMS[units].energy, unit.find("/")

    def word(found: re.Match[str]) -> str:
        if found.group() == "/":
            return "/"
        alone = found[1] is None and not 0 <= below < found.start()
        return energy if alone else f"({energy}){found[1] or ''}"

    return _ENERGY.sub(word, unit)
