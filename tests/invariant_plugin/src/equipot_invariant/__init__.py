"""A small invariant model for equipot, written as a third party would."""

from __future__ import annotations

from typing import Any

__all__ = ["InvariantModel"]


def __getattr__(name: str) -> Any:
    if name in __all__:
        from equipot_invariant import builder

        return getattr(builder, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
