"""Energies of atoms from a small file: ``per_type_energy_shifts: atoms.json``.

The file is JSON, ``{"H": -13.6, "O": -432.1}``, or a table with two columns; its keys are chemical symbols, atomic
numbers or type names. What a config stores of it are its numbers, not its path.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from equipot.errors import ArtifactError, ConfigError, printable, problem
from equipot.files import open_regular

LARGEST = 1_000_000
"""Bytes of a file; one line for each element takes 3 000."""

_FORM = 'write {"H": -13.6, "O": -432.1}, or a line with element and energy for each'


def read_energies(path: str, where: str) -> dict[str, float]:
    """Energies by the keys of a file.

    Args:
        path: A regular file, JSON or a table of two columns (separated by spaces, commas or semicolons; ``#`` begins a
            comment).
        where: Dotted path in the config, for messages.

    Returns:
        Energies in the unit of the data, by chemical symbol or type name.

    Raises:
        ConfigError: If it cannot be read, or is anything else.
    """
    name = printable(path)
    content = _content(path, where)
    if len(content) > LARGEST:
        raise ConfigError(problem(where, f"{name} is larger than {LARGEST} bytes", hint=_FORM))
    try:
        text = content.decode("utf-8-sig")
        pairs = _json_pairs(text) if text.lstrip().startswith(("{", "[")) else _table_pairs(text)
    except (ValueError, RecursionError):
        raise ConfigError(problem(where, f"{name} holds no energies of atoms", hint=_FORM)) from None
    return by_symbol(pairs, f"{where}: {name}")


def _content(path: str, where: str) -> bytes:
    """What is in a file, up to one byte more than is allowed."""
    try:
        with open_regular(path) as stream:
            return stream.read(LARGEST + 1)
    except ArtifactError as error:
        hint = f"relative paths start from {Path.cwd()}"
        raise ConfigError(problem(where, f"names the file {printable(str(error))}", hint=hint)) from None
    except ValueError:  # a zero byte
        raise ConfigError(problem(where, "is not the name of a file", got=path)) from None


def by_symbol(pairs: Iterable[tuple[Any, Any]], where: str) -> dict[str, float]:
    """Energies by chemical symbol or type name, with atomic numbers replaced by symbols.

    Args:
        pairs: Keys and energies.
        where: For messages.

    Raises:
        ConfigError: If a value is not a finite number, an atomic number is none, or an element is there twice.
    """
    found: dict[str, float] = {}
    problems = []
    for key, value in pairs:
        name = symbol_of(key)
        if name is None:
            problems.append(problem(where, "there is no element with this number", got=key))
        elif isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
            problems.append(problem(where, f"the energy of {name} must be a finite number", got=value))
        elif name in found:
            problems.append(problem(where, f"has two energies of {name}"))
        else:
            found[name] = float(value)
    if not found and not problems:
        problems.append(problem(where, "holds no energies of atoms", hint=_FORM))
    if problems:
        raise ConfigError(problems)
    return found


def symbol_of(key: object) -> str | None:
    """A chemical symbol for an atomic number, any other key as it is; None for a number of no element.

    Example:
        >>> symbol_of("8"), symbol_of("O"), symbol_of(0)
        ('O', 'O', None)
    """
    from ase.data import chemical_symbols

    text = str(key)
    if not re.fullmatch(r"-?\d+", text):
        return text
    number = int(text[:4])
    return chemical_symbols[number] if 0 < number < len(chemical_symbols) else None


def for_types(
    energies: Mapping[str, float], type_names: Sequence[str], species: Sequence[str] | None, where: str
) -> dict[str, float]:
    """Energies of a model's types, by type name or element; those of other elements are left out.

    Args:
        energies: By chemical symbol or type name.
        type_names: The types.
        species: Chemical symbol of each type; None: the type names are chemical symbols.
        where: For messages.

    Raises:
        ConfigError: Naming all types without an energy.
    """
    symbols = type_names if species is None or len(species) != len(type_names) else species
    found = {
        name: energies[name] if name in energies else energies[symbol]
        for name, symbol in zip(type_names, symbols, strict=True)
        if name in energies or symbol in energies
    }
    if missing := [name for name in type_names if name not in found]:
        raise ConfigError(problem(where, f"has no energy for {missing}", hint=f"it has those of {sorted(energies)}"))
    return found


def _json_pairs(text: str) -> list[tuple[str, Any]]:
    """The pairs of an object, keys that occur twice included."""
    pairs = json.loads(text, object_pairs_hook=list)
    if not isinstance(pairs, list) or not all(isinstance(one, tuple) for one in pairs):
        raise ValueError("not an object")
    return pairs


def _table_pairs(text: str) -> list[tuple[str, float]]:
    """The pairs of a table of two columns."""
    lines = (line.split("#")[0].strip() for line in text.splitlines())
    rows = [re.split(r"[\s,;]+", line) for line in lines if line]
    return [(name, float(value)) for name, value in rows]
