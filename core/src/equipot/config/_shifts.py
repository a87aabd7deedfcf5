"""The energies of elements that a config gives its model as numbers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

OPTION = "per_type_energy_shifts"


def given_shifts(resolved: Mapping[str, Any]) -> dict[str, float] | None:
    """Energy shifts of a model, as far as they are written as numbers and not taken from statistics.

    Args:
        resolved: The config in plain containers.

    Returns:
        Energy of each type in the unit of the data; None if there are no numbers.
    """
    module = resolved.get("training_module")
    node = module.get("model") if isinstance(module, Mapping) else None
    while isinstance(node, Mapping):
        if OPTION in node:
            return _numbers(node[OPTION], node.get("type_names"))
        node = node.get("model")  # a recipe that changes another one
    return None


def _numbers(given: Any, names: Any) -> dict[str, float] | None:
    if isinstance(given, list) and isinstance(names, list) and len(given) == len(names):
        given = dict(zip(names, given, strict=True))
    if not isinstance(given, Mapping) or not given:
        return None
    numbers = {str(name): value for name, value in given.items() if isinstance(value, (int, float))}
    return {name: float(value) for name, value in numbers.items()} if len(numbers) == len(given) else None
