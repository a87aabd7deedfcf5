"""equipot: an open plugin ecosystem for E(3)-equivariant interatomic potentials.

Importing this package imports neither torch nor any plugin.
"""

from __future__ import annotations

from equipot._version import __version__
from equipot.hookspecs import hookimpl

__all__ = ["__version__", "hookimpl"]
