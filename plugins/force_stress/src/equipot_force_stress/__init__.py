"""Forces, stress and virial for equipot models, as modifiers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from equipot_force_stress.modifier import disable_ForceStressOutput, enable_ForceStressOutput

__all__ = ["disable_ForceStressOutput", "enable_ForceStressOutput"]


def __getattr__(name: str) -> Any:
    if name in __all__:
        from equipot_force_stress import modifier

        return getattr(modifier, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
