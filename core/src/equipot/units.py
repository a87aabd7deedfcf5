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


def factor_to_ev(unit: str, units: Units) -> float:
    """Factor from a field's unit in a model's unit system to the one that is written, in which energies are in eV.

    Args:
        unit: Of a field, e.g. ``eV/Å``; eV stands for the unit of energy of the system.
        units: Unit system of the model.

    Example:
        >>> factor_to_ev("eV/Å", "real") == KCAL_PER_MOL_IN_EV, factor_to_ev("e Å", "real")
        (True, 1.0)
    """
    power = 0
    for number, part in enumerate(unit.split("/")):
        for digit in re.findall(r"eV([²³]?)", part):
            power += {"": 1, "²": 2, "³": 3}[digit] * (-1 if number else 1)
    return UNIT_SYSTEMS[units].energy_in_ev ** power
