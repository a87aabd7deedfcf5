"""Further losses, metrics, callbacks, training modules, optimizers and datasets for equipot.

Configs name everything as ``equipot_toolbox.NAME``; each module is imported on first use.
"""

from __future__ import annotations

from typing import Any

import lazy_loader

_attached, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

_EXTRAS = {"h5py": "hdf5", "lmdb": "lmdb", "schedulefree": "schedulefree"}
"""Packages that only some names need, and the extras that install them."""


def __getattr__(name: str) -> Any:
    try:
        return _attached(name)
    except ModuleNotFoundError as error:
        if error.name not in _EXTRAS:
            raise
        hint = f"pip install 'equipot-toolbox[{_EXTRAS[error.name]}]'"
        raise ModuleNotFoundError(f"{name} needs the package {error.name!r}; {hint}", name=error.name) from None
