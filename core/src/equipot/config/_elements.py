"""Entries of a config that follow from elements: ``type_names: auto``, and energies of atoms from a file or by number.

They are replaced in the config before anything is made of it, so that all that is stored of a run has the lists and
numbers themselves.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from omegaconf import DictConfig, OmegaConf

from equipot.config._atom_energies import by_symbol, for_types, read_energies
from equipot.config._resolve import Statistic
from equipot.containers import nodes, rewritten
from equipot.errors import ConfigError

AUTO = "auto"
"""Stands for all elements of the data."""

OF_TYPES = ("type_names", "chemical_species", "model_type_names")
"""Options that may be ``auto``."""

SHIFTS = "per_type_energy_shifts"

_ALONE = re.compile(r"\$\{\s*([A-Za-z_][\w.]*)\s*\}")


def automatic(config: DictConfig, resolved: Mapping[str, Any]) -> list[str]:
    """Places of a config that say ``auto`` for the elements of the data.

    Args:
        config: Unresolved.
        resolved: The same in plain containers.
    """
    container: Any = OmegaConf.to_container(config, resolve=False)
    written, found = dict(nodes(container)), dict(nodes(resolved))
    places = []
    for path in written:
        if path.rpartition(".")[2] in OF_TYPES and found.get(path) == AUTO:
            source = _source(written, path)
            places.append(source if written.get(source) == AUTO else path)
    return list(dict.fromkeys(places))


def with_elements(config: DictConfig, places: Sequence[str], elements: Sequence[str]) -> DictConfig:
    """A copy of a config with a list of elements at some places."""
    return _replaced(config, {place: list(elements) for place in places})


def sample_elements(config: DictConfig) -> list[str]:
    """Elements to check a config with before the data are read: those that its mappings name, or hydrogen."""
    from ase.data import atomic_numbers

    container: Any = OmegaConf.to_container(config, resolve=False)
    found: set[str] = set()
    for _, value in nodes(container):
        if isinstance(value, dict) and all(atomic_numbers.get(key, 0) > 0 for key in value):
            found.update(value)
    return sorted(found) or ["H"]


def with_energies(
    config: DictConfig, resolved: Mapping[str, Any], *, all_types: bool = True
) -> tuple[DictConfig, list[str]]:
    """A copy of a config in which files of energies, and energies by atomic number, are replaced by type.

    Args:
        config: Unresolved.
        resolved: The same in plain containers.
        all_types: Whether the types are known; if not, those without an energy get 0.

    Returns:
        The config, itself if nothing is replaced, and the problems.
    """
    container: Any = OmegaConf.to_container(config, resolve=False)
    found = dict(nodes(resolved))
    problems: list[str] = []
    made: dict[str, dict[str, float] | None] = {}
    for path, _ in nodes(container):
        model, _, key = path.rpartition(".")
        if key != SHIFTS:
            continue
        try:
            if energies := _energies(found.get(path), found.get(model), path, all_types=all_types):
                made[path] = energies
        except ConfigError as error:
            problems.extend(error.problems)
            made[path] = None
    return (_replaced(config, made) if made else config), problems


def _energies(given: Any, model: Any, path: str, *, all_types: bool) -> dict[str, float] | None:
    """Energies by type if a config gives a file or atomic numbers, else None."""
    if not isinstance(model, dict) or isinstance(given, Statistic):
        return None
    types, species = (model.get(name) for name in OF_TYPES[:2])
    if isinstance(given, str):
        energies = read_energies(given, path)
    elif isinstance(given, dict) and given and all(str(key).isdecimal() for key in given):
        energies = by_symbol(given.items(), path)
    else:
        return None
    if not isinstance(types, list) or not all(isinstance(name, str) for name in types):
        return energies  # what is wrong with the types is said where they are checked
    if not all_types:
        energies = {**dict.fromkeys(types, 0.0), **energies}
    return for_types(energies, types, species if isinstance(species, list) else None, path)


def _source(written: Mapping[str, Any], path: str) -> str:
    """Where the value of an interpolation that is the whole value comes from."""
    seen: set[str] = set()
    while path not in seen and isinstance(written.get(path), str) and (match := _ALONE.fullmatch(written[path])):
        seen.add(path)
        path = match[1]
    return path


def _replaced(config: DictConfig, values: Mapping[str, Any]) -> DictConfig:
    """A copy of an unresolved config with other values at some places."""
    container: Any = OmegaConf.to_container(config, resolve=False)
    made: DictConfig = OmegaConf.create(rewritten(container, leave=lambda value, path: values.get(path, value)))
    return made
