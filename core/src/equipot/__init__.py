"""equipot: an open plugin ecosystem for E(3)-equivariant interatomic potentials.

Importing this package imports neither torch nor any plugin. Its public modules are imported on first use.
"""

from __future__ import annotations

from types import ModuleType
from typing import TYPE_CHECKING

from equipot._version import __version__
from equipot.hookspecs import hookimpl

__all__ = ["__version__", "hookimpl"]


if not TYPE_CHECKING:  # type checkers know the modules, and must find misspelled ones

    def __getattr__(name: str) -> ModuleType:
        from equipot._importing import public_module

        return public_module(__name__, name)


def __dir__() -> list[str]:
    from equipot._importing import public_modules

    return sorted({*globals(), *public_modules(__path__)})
