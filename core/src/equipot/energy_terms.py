"""The registered energy terms other than pair potentials: ``equipot.energy_terms.NAME``."""

from __future__ import annotations

from typing import Any


def __getattr__(name: str) -> Any:
    from equipot.plugins import registered_attribute

    return registered_attribute("energy_terms", __name__, name)
