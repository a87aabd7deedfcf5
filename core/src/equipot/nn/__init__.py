"""Building blocks for models: radial functions, cutoffs, MLPs, irreps, tensor products."""

from __future__ import annotations

from types import ModuleType
from typing import TYPE_CHECKING

if not TYPE_CHECKING:  # type checkers know the modules, and must find misspelled ones

    def __getattr__(name: str) -> ModuleType:
        from equipot._importing import public_module

        return public_module(__name__, name)


def __dir__() -> list[str]:
    from equipot._importing import public_modules

    return sorted({*globals(), *public_modules(__path__)})
