"""The registered pair potentials: ``equipot.pair_potentials.NAME``."""

from __future__ import annotations

from typing import Any


def __getattr__(name: str) -> Any:
    from equipot.plugins import registered_attribute

    return registered_attribute("pair_potentials", __name__, name)
