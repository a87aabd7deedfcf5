"""ZBL screened nuclear repulsion for equipot models."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from equipot_zbl.potential import ZBL, zbl_energy

__all__ = ["ZBL", "zbl_energy"]


def __getattr__(name: str) -> Any:
    if name in __all__:
        from equipot_zbl import potential

        return getattr(potential, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
