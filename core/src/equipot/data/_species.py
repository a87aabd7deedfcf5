"""Names of atoms in a file: elements, and names that need a mapping, such as D, OW, C_a or type numbers."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from equipot.commands import setting
from equipot.errors import DataError, problem

_ISOTOPES = {"D": "H", "T": "H"}
_SHOWN = 8

SPECIES_CASE = "species-case"
"""Code of the note on names in capitals."""


@functools.cache
def _numbers() -> dict[str, int]:
    from ase.data import atomic_numbers

    return dict(atomic_numbers)


def is_element(name: str) -> bool:
    """Whether a name is the symbol of an element, or X, in any case, as ASE reads it."""
    return name.capitalize() in _numbers()


def mapping_problems(species: Mapping[Any, str] | None, where: str) -> Iterator[str]:
    """A message for each name of a mapping that does not become an element."""
    for name, symbol in (species or {}).items():
        if not isinstance(symbol, str) or symbol not in _numbers() or symbol == "X":
            hint = "for example {OW: O, D: H}"
            yield problem(f"{where}.{name}", "must be the symbol of an element", got=symbol, hint=hint)


def check_names(names: Iterable[str], where: str) -> list[tuple[str, str]]:
    """Refuse names that are not elements, and offer a mapping.

    Returns:
        Notes, as code and text, on names in capitals that are read as an element of two letters.

    Raises:
        DataError: With all such names, and the option that says what they are.
    """
    distinct = sorted(set(names))
    if strange := [name for name in distinct if not is_element(name)]:
        offered = {name: _guess(name) for name in strange[:_SHOWN]}
        what = f"species {', '.join(map(repr, strange[:_SHOWN]))} are not symbols of elements"
        if all(name in _ISOTOPES for name in strange):
            what += " here; a model has one type for all isotopes"
        elif all(name.isdigit() for name in strange):
            what += "; numbers may be those of types or of elements"
        example = setting("species", offered)
        hint = f"say what they are, for example {example}; remove ghost atoms and virtual sites"
        raise DataError(problem(where, what, hint=hint))
    return [
        (SPECIES_CASE, f"species {name} is read as the element {name.capitalize()}")
        for name in distinct
        if len(name) == 2 and name.isupper()
    ]


def _guess(name: str) -> str:
    """The element that a name probably means."""
    if name in _ISOTOPES:
        return _ISOTOPES[name]
    if name.isdigit():
        by_number = {number: symbol for symbol, number in _numbers().items()}
        return by_number.get(int(name[:4]), "?") if int(name[:4]) else "?"
    letters = re.match(r"[A-Za-z]*", name)
    word = letters.group() if letters else ""
    two = word[:2]
    if len(two) == 2 and two[1].islower() and two.capitalize() in _numbers():
        return two.capitalize()
    return word[:1].upper() if word[:1].upper() in _numbers() and word[:1].upper() != "X" else "?"


def check_against_numbers(pairs: Iterable[tuple[str, int]], where: str) -> None:
    """Compare symbols with atomic numbers of the same atoms.

    Args:
        pairs: Name and atomic number of each atom.
        where: File and frame, for messages.

    Raises:
        DataError: If they contradict each other. Names that are not elements say nothing; those in capitals (CA) may
            begin with the element.
    """
    for name, number in sorted(set(pairs)):
        meant = {name.capitalize()} | ({name[:1]} if name.isupper() else set())
        known = {_numbers()[one] for one in meant if one in _numbers()}
        if is_element(name) and number not in known:
            what = f"species {name!r} and Z={number} contradict each other"
            raise DataError(problem(where, what, hint="remove the column that is wrong"))
