import ase.units
import pytest

from equipot.units import COULOMB_CONSTANT, KCAL_PER_MOL_IN_EV, UNIT_SYSTEMS, energy_power, in_ev, unit_in


def test_constants_are_those_of_others():
    assert pytest.approx(ase.units.kcal / ase.units.mol, rel=1e-6) == KCAL_PER_MOL_IN_EV
    assert COULOMB_CONSTANT["metal"] / COULOMB_CONSTANT["real"] == pytest.approx(KCAL_PER_MOL_IN_EV, rel=1e-6)


def test_each_system_is_listed_under_its_name():
    assert {name: system.name for name, system in UNIT_SYSTEMS.items()} == {"metal": "metal", "real": "real"}
    assert {system.length for system in UNIT_SYSTEMS.values()} == {"Å"}
    assert UNIT_SYSTEMS["real"].energy_in_ev == KCAL_PER_MOL_IN_EV


@pytest.mark.parametrize(
    ("unit", "power", "real"),
    [
        ("eV", 1, "kcal/mol"), ("eV/Å³", 1, "kcal/mol/Å³"), ("e Å", 0, "e Å"), ("", 0, ""), ("eV/e", 1, "kcal/mol/e"),
        ("1/eV", -1, "1/(kcal/mol)"), ("e²Å²/eV", -1, "e²Å²/(kcal/mol)"), ("eV²", 2, "(kcal/mol)²"), ("ppm", 0, "ppm"),
    ],
)  # fmt: skip
def test_units_follow_the_energy(unit, power, real):
    assert energy_power(unit) == power
    assert in_ev(unit, "metal") == 1.0
    assert in_ev(unit, "real") == KCAL_PER_MOL_IN_EV**power
    assert unit_in(unit, "metal") == unit
    assert unit_in(unit, "real") == real
