"""The components that configs can use: registered ones and public classes of core."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from typing import Any

from equipot._host.declaration import load_target
from equipot._importing import load_module
from equipot.config._targets import PUBLIC_MODULES, TargetError, public_names, resolve_target
from equipot.errors import ConfigError, EquipotError, unknown
from equipot.options import Configurable, Options
from equipot.plugins import NAMESPACES, plugins


@dataclass(frozen=True)
class Component:
    """A class or function with options."""

    path: str
    """Its ``_target_``, e.g. ``equipot.pair_potentials.ZBL``."""

    kind: str
    """Kind of declaration (``pair_potentials``); for public classes of core, their module."""

    target: Any
    origin: str
    """Distribution and version."""

    @property
    def name(self) -> str:
        """Last part of the path."""
        return self.path.rpartition(".")[2]


def components() -> list[Component]:
    """All installed components that can be loaded, sorted by path."""
    from equipot import __version__

    found: dict[str, Component] = {}
    for kind, namespace in NAMESPACES.items():
        for declaration in plugins().available(kind):
            try:
                target = load_target(declaration)
            except EquipotError:
                continue
            path = f"{namespace}.{declaration.entry.name}"
            found[path] = Component(path, kind, target, f"{declaration.distribution} {declaration.version}")
    for module_name in PUBLIC_MODULES:
        module = load_module(module_name)
        for name in public_names(module):
            path, target = f"{module_name}.{name}", getattr(module, name)
            if path not in found and _is_part_of_configs(target):
                found[path] = Component(path, module_name, target, f"equipot {__version__}")
    return sorted(found.values(), key=lambda one: one.path)


def _is_part_of_configs(target: type) -> bool:
    """Whether a public class of core is meant for configs, judged by its base classes."""
    import lightning

    if inspect.isabstract(target):
        return False
    own = [base for base in target.__mro__[1:] if base.__module__.split(".")[0] == "equipot"]
    declared = (Options, Configurable, lightning.LightningModule, lightning.LightningDataModule, lightning.Callback)
    return issubclass(target, declared) or any(inspect.isabstract(base) for base in own)


def find(name: str) -> list[Component]:
    """The components with a short name (``ZBL``) or a full path; a ConfigError suggests what to write or install."""
    known = components()
    if matches := [one for one in known if name in (one.path, one.name)]:
        return matches
    if owner := plugins().owner_of(name):
        try:
            target = resolve_target(name, name)
        except TargetError as error:
            raise ConfigError(str(error)) from None
        return [Component(name, owner.id, target, f"{owner.distribution} {owner.version}")]
    short = name.rpartition(".")[2]
    hint = next((text for kind in NAMESPACES if (text := plugins().install_hint(kind, short))), "")
    names = [one.path if "." in name else one.name for one in known]
    raise ConfigError(unknown(name, name, names, "component", hint=hint))
