"""Import modules and objects by their dotted path."""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import pkgutil
from collections.abc import Iterable, Iterator
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


def public_module(package: str, name: str) -> ModuleType:
    """A public module of a package, for the package's ``__getattr__``.

    Raises:
        AttributeError: If there is none.
    """
    path = f"{package}.{name}"
    if name.startswith("_") or importlib.util.find_spec(path) is None:
        raise AttributeError(f"module {package!r} has no attribute {name!r}")
    return importlib.import_module(path)


def public_modules(path: Iterable[str]) -> list[str]:
    """Names of the public modules of a package, for the package's ``__dir__``; imports none of them.

    Args:
        path: The package's ``__path__``.
    """
    return [one.name for one in pkgutil.iter_modules(path) if not one.name.startswith("_")]
