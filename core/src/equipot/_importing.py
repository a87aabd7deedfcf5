"""Import an object by its dotted path."""

from __future__ import annotations

import importlib
from typing import Any

from equipot.errors import PluginError


def load_object(path: str) -> Any:
    """The object that ``package.module.name`` names.

    Args:
        path: Dotted path, as declarations have it.

    Raises:
        PluginError: If the module cannot be imported or has no such name.
    """
    module, _, name = path.rpartition(".")
    try:
        return getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise PluginError(f"cannot import {path!r}: {type(error).__name__}: {error}") from error
