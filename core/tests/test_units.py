import ase.units
import pytest

from equipot.units import COULOMB_CONSTANT, KCAL_PER_MOL_IN_EV, UNIT_SYSTEMS


def test_constants_are_those_of_others():
    assert pytest.approx(ase.units.kcal / ase.units.mol, rel=1e-6) == KCAL_PER_MOL_IN_EV
    assert COULOMB_CONSTANT["metal"] / COULOMB_CONSTANT["real"] == pytest.approx(KCAL_PER_MOL_IN_EV, rel=1e-6)


def test_each_system_is_listed_under_its_name():
    assert {name: system.name for name, system in UNIT_SYSTEMS.items()} == {"metal": "metal", "real": "real"}
    assert {system.length for system in UNIT_SYSTEMS.values()} == {"Å"}
    assert UNIT_SYSTEMS["real"].energy_in_ev == KCAL_PER_MOL_IN_EV
