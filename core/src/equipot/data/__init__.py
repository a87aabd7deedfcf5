"""Labelled data: reading, checking, splitting, batching and statistics.

Registered statistics managers are available as ``equipot.data.NAME`` too; each name is imported on first use.
"""

from __future__ import annotations

from typing import Any

import lazy_loader

_exported, _, __all__ = lazy_loader.attach_stub(__name__, __file__)


def __getattr__(name: str) -> Any:
    if name in __all__:
        return _exported(name)
    from equipot.plugins import registered_attribute

    return registered_attribute("stats_managers", __name__, name)


def __dir__() -> list[str]:
    from equipot.plugins import registered_names

    return registered_names("stats_managers", __name__)
