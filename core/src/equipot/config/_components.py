"""All components that a config can name: registered ones and core's public names."""

from __future__ import annotations

import importlib
import inspect
from dataclasses import dataclass
from typing import Any

from equipot._host.declared import load_target
from equipot.config._targets import PUBLIC_MODULES, TargetError, public_names, resolve_target
from equipot.errors import ConfigError, EquipotError, did_you_mean, problem
from equipot.plugins import NAMESPACES, plugins


@dataclass(frozen=True)
class Component:
    """A class or function with options."""

    path: str
    """What configs write, e.g. ``equipot.pair_potentials.ZBL``."""

    kind: str
    """Kind of declaration (``pair_potentials``), or the module for core's own names."""

    target: Any
    origin: str
    """Distribution and version."""


def components() -> list[Component]:
    """Everything installed that can be loaded, by path."""
    from equipot import __version__

    host = plugins()
    found: dict[str, Component] = {}
    for kind, namespace in NAMESPACES.items():
        for declared in host.declared(kind):
            try:
                target = load_target(declared)
            except EquipotError:
                continue
            path = f"{namespace}.{declared.entry.name}"
            found[path] = Component(path, kind, target, f"{declared.distribution} {declared.version}")
    for module_name in PUBLIC_MODULES:
        module = importlib.import_module(module_name)
        for name in public_names(module):
            path = f"{module_name}.{name}"
            target = getattr(module, name, None)
            if path not in found and _has_options(target):
                found[path] = Component(path, module_name, target, f"equipot {__version__}")
    return sorted(found.values(), key=lambda one: one.path)


def _has_options(target: Any) -> bool:
    """Whether a public name of core is something that configs are made of."""
    if not inspect.isclass(target) or inspect.isabstract(target):
        return False
    if target.__module__.startswith("equipot.model."):
        from equipot.model._recipe import ModelRecipe

        return issubclass(target, ModelRecipe)
    return target.__name__ not in (
        "Census",
        "EntryCollector",
        "FrameCollection",
        "FrameDataset",
        "LazyFrames",
        "StatisticEntry",
        "TrainLoader",
        "Transform",
    )


def find(name: str) -> list[Component]:
    """Components of a short name or a full path.

    Args:
        name: ``ZBL``, ``equipot.pair_potentials.ZBL``, or a path in the package of an installed plugin.

    Raises:
        ConfigError: If there is none, with the nearest name or what to install.
    """
    known = components()
    matches = [one for one in known if name in (one.path, one.path.rsplit(".", 1)[1])]
    if matches:
        return matches
    if owner := plugins().owner_of(name):
        try:
            target = resolve_target(name, name)
        except TargetError as error:
            raise ConfigError(str(error)) from None
        return [Component(name, owner.id, target, f"{owner.distribution} {owner.version}")]
    short = name.rsplit(".", 1)[-1]
    hint = next((text for kind in NAMESPACES if (text := plugins().install_hint(kind, short))), "")
    names = [one.path if "." in name else one.path.rsplit(".", 1)[1] for one in known]
    raise ConfigError(
        problem(name, "no such component", hint=hint or did_you_mean(name, names) or f"there are {', '.join(names)}")
    )
