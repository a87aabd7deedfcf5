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
from equipot._interrupts import interrupts_named
from equipot.declarations import (
    PART_KINDS,
    CommandEntry,
    Entry,
    ModelBuilderEntry,
    ModifierEntry,
    PartEntry,
    TargetAliasEntry,
)
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
    package = target.partition(".")[0]
    try:
        # The guard compares all random generators, which is too slow for targets that are imported already.
        guard = contextlib.nullcontext() if loaded else guarded(notes, declaring=False, package=package)
        with guard, interrupts_named(declaration.label):
            found = load_object(target, f"of {declaration.role}")
        _check_kind(found, declaration.entry, f"{target!r}, the target of {declaration.role},")
    except PluginError as error:
        raise PluginError(f"{declaration.label}: {error}") from error.__cause__
    finally:
        for note in notes:
            logger.warning("%s: %s", declaration.label, note)
    return found


def _check_kind(found: object, entry: Entry, where: str) -> None:
    """Refuse a target of another kind than the declaration says."""
    got = f"the class {found.__name__}" if inspect.isclass(found) else type(found).__name__
    if isinstance(entry, TargetAliasEntry):
        return
    if isinstance(entry, ModifierEntry):
        if not callable(found) or inspect.isclass(found):
            raise PluginError(f"{where} must be a function, got {got}")
    elif isinstance(entry, CommandEntry):
        if not isinstance(found, load_object("click.Command")):
            raise PluginError(f"{where} must be a click.Command, got {got}")
    elif not inspect.isclass(found):
        raise PluginError(f"{where} must be a class, got {got}")
    elif (base := base_of(entry)) and not issubclass(found, load_object(base)):
        raise PluginError(f"{where} does not derive from {base}")


def base_of(entry: Entry) -> str:
    """Dotted path of the class that a target must derive from; empty if there is none."""
    if isinstance(entry, ModelBuilderEntry):
        return "equipot.model.ModelRecipe"  # core's own recipes start with a stored model, which no builder does
    return PART_KINDS[entry.kind] if isinstance(entry, PartEntry) else entry.base


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
