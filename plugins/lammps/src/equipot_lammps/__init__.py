"""Models of equipot in LAMMPS: a pair style in C++, and a fix that needs no compiler."""

from __future__ import annotations

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
