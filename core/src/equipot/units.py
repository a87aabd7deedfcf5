"""Unit systems and physical constants, each with its source.

Lengths are always in Å. A model's energies are in the unit of its training data, ``metal`` (eV) or ``real``
(kcal/mol), which is stored with the model; adapters to engines convert.
"""

from __future__ import annotations

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
