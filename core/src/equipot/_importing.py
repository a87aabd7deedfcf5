"""Import modules and objects by their dotted path."""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Iterator
from types import ModuleType
from typing import Any

from equipot._interrupts import Interrupted
from equipot.errors import PluginError


def load_module(name: str) -> ModuleType:
    """Import a module; any failure, even ``SystemExit``, becomes a PluginError."""
    with _named(name):
        return importlib.import_module(name)


def load_object(path: str, role: str = "") -> Any:
    """Import the object at a dotted path; any failure becomes a PluginError, which mentions the ``role``.

    The role says what the object is for, e.g. ``of pair potential 'ZBL'``.
    """
    module_name, _, name = path.rpartition(".")
    with _named(path, role):
        return getattr(importlib.import_module(module_name), name)


@contextlib.contextmanager
def _named(path: str, role: str = "") -> Iterator[None]:
    try:
        yield
    except (KeyboardInterrupt, Interrupted):
        raise
    except BaseException as error:
        what = f"{path!r} {role}" if role else repr(path)
        raise PluginError(f"cannot import {what}: {type(error).__name__}: {error}") from error
