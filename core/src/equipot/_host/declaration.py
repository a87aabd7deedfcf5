"""Declarations together with their plugin, and the import of their targets."""

from __future__ import annotations

import contextlib
import inspect
import logging
import sys
import warnings
from dataclasses import dataclass
from typing import Any

from equipot._host.guard import guarded
from equipot._importing import load_object
from equipot.declarations import PART_KINDS, Entry, PartEntry
from equipot.errors import PluginError

logger = logging.getLogger(__name__)

NAMESPACES: dict[str, str] = {
    "model_builders": "equipot.model",
    "pair_potentials": "equipot.pair_potentials",
    "energy_terms": "equipot.energy_terms",
    "modifiers": "equipot.modifiers",
    "stats_managers": "equipot.data",
}
"""Module in which configs and Python find the registered names of each kind."""


@dataclass(frozen=True)
class Declaration:
    """A declaration and the plugin that made it."""

    kind: str
    entry: Entry
    plugin: str
    distribution: str
    version: str

    @property
    def label(self) -> str:
        """Plugin with distribution and version."""
        return f"plugin {self.plugin!r} ({self.distribution} {self.version})"

    @property
    def role(self) -> str:
        """Kind and name, e.g. ``pair potential 'ZBL'``, ``loss 'equipot.train.EnergyForceLoss'``."""
        return f"{singular(self.fine_kind)} {self.entry.name!r}"

    @property
    def fine_kind(self) -> str:
        """The kind of declaration, for a part the kind of part."""
        return self.entry.kind if isinstance(self.entry, PartEntry) else self.kind

    @property
    def path(self) -> str:
        """The ``_target_`` by which configs name it, e.g. ``equipot.pair_potentials.ZBL``."""
        namespace = NAMESPACES.get(self.kind)
        return f"{namespace}.{self.entry.name}" if namespace else self.entry.target or self.entry.name


def load_target(declaration: Declaration) -> Any:
    """Import the target of a declaration; a PluginError names plugin, version and reason."""
    target = declaration.entry.target
    module_name, _, name = target.rpartition(".")
    loaded = name in vars(sys.modules.get(module_name, object))  # false for packages that export lazily
    notes: list[str] = []
    try:
        # The guard compares all random generators, which is too slow for targets that are imported already.
        with contextlib.nullcontext() if loaded else guarded(notes, declaring=False):
            found = load_object(target, f"of {declaration.role}")
        if isinstance(declaration.entry, PartEntry):
            _check_part(found, declaration.entry, declaration.role)
    except PluginError as error:
        raise PluginError(f"{declaration.label}: {error}") from error.__cause__
    finally:
        for note in notes:
            logger.warning("%s: %s", declaration.label, note)
    return found


def _check_part(found: object, entry: PartEntry, role: str) -> None:
    """Refuse a target that is not a class, or does not derive from the class of its kind."""
    if not inspect.isclass(found):
        raise PluginError(f"{entry.target!r} of {role} is not a class")
    base = PART_KINDS[entry.kind]
    if base and not issubclass(found, load_object(base)):
        raise PluginError(f"{entry.target!r} of {role} does not derive from {base}")


def warn_if_deprecated(declaration: Declaration) -> Declaration:
    """Warn about a deprecated name, and return the declaration."""
    if deprecated := declaration.entry.deprecated:
        text = f"{declaration.label}: the {declaration.role} is deprecated: {deprecated}"
        warnings.warn(text, FutureWarning, stacklevel=4)
    return declaration


def is_target(declaration: Declaration, target: object) -> bool:
    """Whether a class or function is the target of a declaration; imports nothing."""
    module_name, _, attribute = declaration.entry.target.rpartition(".")
    if attribute != getattr(target, "__name__", None):
        return False
    module = sys.modules.get(module_name)
    return module is not None and getattr(module, attribute, None) is target


def singular(kind: str) -> str:
    """The singular of a kind, for messages.

    Example:
        >>> singular("pair_potentials")
        'pair potential'
    """
    if kind in PART_KINDS:
        return kind.replace("_", " ")
    return {"target_aliases": "target alias", "fields": "data field"}.get(
        kind, kind.removesuffix("s").replace("_", " ")
    )
