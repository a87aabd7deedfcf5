"""The presets of a model builder as a table: options, parameters and cost."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from importlib.resources import files
from typing import Any

from equipot.options import Options

COSTS = "preset_costs.json"
"""File in the package of a builder with parameters and costs by class and preset, if somebody has measured them."""


def preset_costs(builder: type) -> Mapping[str, Any]:
    """What was measured of the presets of a class: ``command`` and ``presets``; empty if nothing was.

    Args:
        builder: The class.
    """
    package = sys.modules[builder.__module__.partition(".")[0]]
    if not hasattr(package, "__path__"):  # a plugin of one file
        return {}
    file = files(package) / COSTS
    if not file.is_file():
        return {}
    found = json.loads(file.read_text(encoding="utf-8")).get(builder.__name__, {})
    return found if isinstance(found, Mapping) else {}


def preset_table(presets: Mapping[str, Mapping[str, Any]], costs: Mapping[str, Any]) -> list[Sequence[str]]:
    """Rows of a table with a column for each preset; the first row is the header. ``common_options`` has other options.

    Args:
        presets: Options by name.
        costs: As ``preset_costs`` gives them.
    """
    names = list(presets)
    options = list(dict.fromkeys(option for one in presets.values() for option in one))
    rows: list[Sequence[str]] = [("preset", *names)]
    same = common_options(presets)
    rows += [
        (option, *(_text(presets[name].get(option, "")) for name in names)) for option in options if option not in same
    ]
    measured = costs.get("presets", {})
    if any(name in measured for name in names):
        found = [measured.get(name, {}) for name in names]
        for title, index in (("parameters, 1 element", 0), ("parameters, 4 elements", 3)):
            rows.append((title, *(f"{one['parameters'][index]:,}".replace(",", " ") if one else "" for one in found)))
        for title, key in (
            ("time of a training step", "training_step"),
            ("time of energy, forces", "energy_and_forces"),
        ):
            rows.append((title, *(f"{one[key]:.3g} x" if one else "" for one in found)))
    return rows


def common_options(presets: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """Options that are the same in all of several presets, as texts.

    Args:
        presets: Options by name.
    """
    first, *others = ({option: _text(value) for option, value in one.items()} for one in presets.values())
    return {option: text for option, text in first.items() if others and all(one.get(option) == text for one in others)}


def _text(value: Any) -> str:
    if isinstance(value, Options):
        return type(value).__name__
    if isinstance(value, list):  # without brackets and blanks the largest presets fit on a terminal
        return ",".join(map(_text, value))
    return value if isinstance(value, str) else json.dumps(value)
