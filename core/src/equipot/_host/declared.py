"""A declaration with the plugin it came from, and the import of what it stands for."""

from __future__ import annotations

import importlib
import logging
import sys
import warnings
from dataclasses import dataclass
from typing import Any

from equipot._host.guard import guarded
from equipot.declarations import Entry
from equipot.errors import PluginError

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Declared:
    """A declaration and the plugin it came from."""

    kind: str
    entry: Entry
    plugin: str
    distribution: str
    version: str

    @property
    def label(self) -> str:
        """Plugin with distribution and version."""
        return f"plugin {self.plugin!r} ({self.distribution} {self.version})"


def load_target(declared: Declared) -> Any:
    """Import the target of a declaration.

    Raises:
        PluginError: With plugin, version and reason.
    """
    module_name, _, attribute = declared.entry.target.rpartition(".")
    notes: list[str] = []
    try:
        if module_name in sys.modules:
            return getattr(sys.modules[module_name], attribute)
        with guarded(notes, declaring=False):
            return getattr(importlib.import_module(module_name), attribute)
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        raise PluginError(
            f"{declared.label}: cannot import "
            f"{declared.entry.target!r} of {singular(declared.kind)} {declared.entry.name!r}: "
            f"{type(error).__name__}: {error}"
        ) from error
    finally:
        for note in notes:
            logger.warning("%s: %s", declared.label, note)


def warn_if_deprecated(declared: Declared) -> Declared:
    """Warn if a name is on its way out."""
    entry = declared.entry
    if entry.deprecated:
        what = f"{declared.label}: the {singular(declared.kind)} {entry.name!r} is deprecated"
        warnings.warn(f"{what}: {entry.deprecated}", FutureWarning, stacklevel=4)
    return declared


def is_target(declared: Declared, target: object) -> bool:
    """Whether a declaration stands for this very class or function; imports nothing."""
    module_name, _, attribute = declared.entry.target.rpartition(".")
    if attribute != getattr(target, "__name__", None):
        return False
    module = sys.modules.get(module_name)
    return module is not None and getattr(module, attribute, None) is target


def singular(kind: str) -> str:
    """A kind in words, for one thing of it.

    Example:
        >>> singular("pair_potentials")
        'pair potential'
    """
    return {"target_aliases": "target alias"}.get(kind, kind.removesuffix("s").replace("_", " "))
