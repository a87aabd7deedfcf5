"""Units of labels by name: those that files state, and those that a config names.

Energies convert through ``ase.units`` (CODATA 2014); kcal/mol is that of ``equipot.units``, so that the unit system
``real`` is left alone exactly.
"""

from __future__ import annotations

import functools
import re
from typing import NamedTuple

from equipot.units import KCAL_PER_MOL_IN_EV

Dimension = str
"""What a unit measures: ``energy``, ``forces`` (an energy by a length), ``stress`` (a pressure) or ``length``; for all
other labels the unit of the field itself, e.g. ``e Å``."""

EXAMPLES: dict[Dimension, str] = {
    "energy": "eV, meV, Hartree, Rydberg, kcal/mol, kJ/mol",
    "forces": "eV/Å, meV/Å, Hartree/Bohr, Ry/Bohr, kcal/mol/Å, kJ/mol/nm",
    "stress": "eV/Å^3, GPa, MPa, kbar, Pa, Hartree/Bohr^3, kcal/mol/Å^3",
    "length": "Å, Bohr, nm, pm",
}
"""Units that are known, for messages and documentation; spelling and case do not matter."""

_ENERGY_NAMES = {
    "eV": ("ev", "electronvolt", "electronvolts"),
    "meV": ("mev",),
    "Hartree": ("hartree", "hartrees", "ha", "eh", "e_h"),
    "Rydberg": ("rydberg", "rydbergs", "ry"),
    "kcal/mol": ("kcal",),
    "kJ/mol": ("kj",),
}
_LENGTH_NAMES = {
    "Å": ("å", "a", "ang", "angs", "angstrom", "angstroms", "ångström", "ångstrom"),
    "Bohr": ("bohr", "bohrs", "a0", "a_0"),
    "nm": ("nm", "nanometer"),
    "pm": ("pm", "picometer"),
}
_PRESSURE_NAMES = {
    "Pa": ("pa", "pascal"),
    "MPa": ("mpa",),
    "GPa": ("gpa",),
    "bar": ("bar",),
    "kbar": ("kbar", "kb"),
    "Mbar": ("mbar",),
    "atm": ("atm",),
}
_CHARGE_NAMES: dict[str, tuple[str, ...]] = {"e": ("e", "|e|"), "C": ("c", "coulomb")}
_DIPOLE_NAMES: dict[str, tuple[str, ...]] = {
    "Debye": ("debye", "debyes", "d"),
    "Å": ("eå", "eang", "eangstrom"),
    "Bohr": ("ebohr", "ea0", "ea_0"),
}
_POWERS: tuple[tuple[dict[str, tuple[str, ...]], tuple[int, int, int]], ...] = (
    (_ENERGY_NAMES, (1, 0, 0)),
    (_LENGTH_NAMES, (0, 1, 0)),
    (_PRESSURE_NAMES, (1, -3, 0)),
    (_CHARGE_NAMES, (0, 0, 1)),
    (_DIPOLE_NAMES, (0, 1, 1)),
)
"""Powers of energy, length and charge in units with a name."""

_OTHERS = ("e Å", "Debye", "e Bohr", "e", "C", "Å^3", "Bohr^3", "e Å^2", "Debye Å", "e Bohr^2", "eV/e", "Hartree/e")
"""Examples of units of other labels."""

_ATOMIC = ("au", "a.u.", "atomic", "atomic units")
_POWER = {"energy": None, "forces": 1, "stress": 3}


class _Parsed(NamedTuple):
    """A unit, taken apart."""

    value: float
    """In eV, Å and e."""
    powers: tuple[int, int, int]
    """Of energy, length and charge."""


def examples(dimension: Dimension) -> str:
    """Some units of a dimension, for messages."""
    if dimension in EXAMPLES:
        return EXAMPLES[dimension]
    others = [one for one in (*_OTHERS, "a.u.") if one != dimension and unit_value(one, dimension) is not None]
    return ", ".join([dimension, *others])


@functools.cache
def _values() -> dict[str, float]:
    """Each canonical name in eV, Å or eV/Å³."""
    from ase import units

    return {
        "eV": 1.0,
        "meV": 1e-3,
        "Hartree": units.Hartree,
        "Rydberg": units.Rydberg,
        "kcal/mol": KCAL_PER_MOL_IN_EV,
        "kJ/mol": KCAL_PER_MOL_IN_EV / 4.184,
        "Å": 1.0,
        "Bohr": units.Bohr,
        "nm": 10.0,
        "pm": 0.01,
        "Pa": units.Pascal,
        "MPa": 1e6 * units.Pascal,
        "GPa": units.GPa,
        "bar": units.bar,
        "kbar": 1e3 * units.bar,
        "Mbar": 1e6 * units.bar,
        "atm": 101325.0 * units.Pascal,
        "e": 1.0,
        "C": units.C,
        "Debye": units.Debye,
    }


def _named(word: str, names: dict[str, tuple[str, ...]]) -> float | None:
    """Value of a unit's name or synonym, in lower case."""
    return next((_values()[name] for name, synonyms in names.items() if word in synonyms), None)


@functools.lru_cache(maxsize=1000)
def unit_value(text: str, dimension: Dimension) -> float | None:
    """A unit in eV, eV/Å, eV/Å³ or Å, or in the unit of a field.

    Args:
        text: As people write it: ``Hartree/Bohr``, ``kcal/(mol Å)``, ``eV A^-3``, ``GPa``, ``Debye``, ``a.u.``.
        dimension: What it must measure.

    Returns:
        None if the text is not a known unit of this dimension.

    Example:
        >>> unit_value("meV / Angstrom", "forces"), unit_value("GPa", "energy")
        (0.001, None)
        >>> round(unit_value("Debye", "e Å"), 6)
        0.208194
    """
    if dimension not in EXAMPLES:
        return _relative(text, dimension)
    plain = _plain(text)
    if plain in _ATOMIC:
        plain = {"energy": "ha", "forces": "ha/bohr", "stress": "ha/bohr^3", "length": "bohr"}[dimension]
    words = [word for word in re.split(r"[\s/*·()]+", plain) if word]
    if dimension == "length":
        return _named(words[0], _LENGTH_NAMES) if len(words) == 1 else None
    if dimension == "stress" and len(words) == 1 and (value := _named(words[0], _PRESSURE_NAMES)) is not None:
        return value
    energy = _named(words[0], _ENERGY_NAMES) if words else None
    below = [re.sub(r"\^-?", "^", word).removesuffix("^1") for word in words[1:]]
    if energy is None or ("mol" in below) != (words[0] in ("kcal", "kj")):
        return None
    return _divided(energy, [word for word in below if word != "mol"], _POWER[dimension])


@functools.cache
def unit_values(names: tuple[str, ...], dimension: Dimension) -> dict[str, float]:
    """Some known units in eV, eV/Å, eV/Å³ or Å, by name.

    Args:
        names: Of known units.
        dimension: What they measure.
    """
    values = {name: unit_value(name, dimension) for name in names}
    return {name: value for name, value in values.items() if value is not None}


def _divided(energy: float, below: list[str], power: int | None) -> float | None:
    """An energy divided by a power of one length; None if there are other words than this."""
    if power is None:
        return None if below else energy
    if len(below) != 1:
        return None
    name, _, stated = below[0].partition("^")
    if not stated and power == 3 and name.endswith("3"):  # Ang3, Bohr3
        name, stated = name[:-1], "3"
    length = _named(name, _LENGTH_NAMES)
    return None if length is None or (stated or "1") != str(power) else energy / length**power


def _plain(text: str) -> str:
    plain = text.strip().lower().replace("**", "^").replace("²", "^2 ").replace("³", "^3 ").replace("¹", "^1 ")
    return plain.replace("⁻^", "^-").strip()


def _relative(text: str, unit: str) -> float | None:
    """A unit in the unit of a field; only itself if it has parts without a known name."""
    plain, wanted = _plain(text), _parsed(unit)
    if plain.split() == _plain(unit).split():
        return 1.0
    if wanted is None:
        return None
    if plain in _ATOMIC:
        energy, length, _ = wanted.powers  # the unit of charge is e
        return float(_values()["Hartree"] ** energy * _values()["Bohr"] ** length / wanted.value)
    found = _parsed(text)
    return found.value / wanted.value if found is not None and found.powers == wanted.powers else None


def _parsed(text: str) -> _Parsed | None:
    """A product of named units, those after a stroke being below; None if a part has no known name."""
    above, _, below = _plain(text).partition("/")
    value, powers, molar = 1.0, [0, 0, 0], 0
    for part, sign in ((above, 1), (below, -1)):
        for word in (one for one in re.split(r"[\s/*·()]+", part) if one):
            if word == "mol":
                molar += sign
                continue
            found = _factor(word)
            if found is None:
                return None
            molar += sign * (word in ("kcal", "kj"))
            value *= found.value**sign
            powers = [have + sign * more for have, more in zip(powers, found.powers, strict=True)]
    return None if molar else _Parsed(value, (powers[0], powers[1], powers[2]))


def _factor(word: str) -> _Parsed | None:
    """One named unit with its exponent, e.g. ``bohr^3``."""
    stated = re.fullmatch(r"(.+)\^(-?\d)", word) or re.fullmatch(r"(.*[^\d^-])(\d)", word)
    for name, exponent in ((word, 1), *([(stated[1], int(stated[2]))] if stated else [])):
        for names, powers in _POWERS:
            if (value := _named(name, names)) is not None:
                energy, length, charge = (exponent * one for one in powers)
                return _Parsed(value**exponent, (energy, length, charge))
    return None
