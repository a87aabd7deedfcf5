"""The components that configs can use: registered ones, and the parts of core and plugins."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from equipot._host.declaration import load_target
from equipot.config._targets import declarations, find_declared
from equipot.errors import ConfigError, EquipotError, unknown
from equipot.plugins import NAMESPACES, Declaration, plugins


@dataclass(frozen=True)
class Component:
    """A class or function with options."""

    path: str
    """Its ``_target_``, e.g. ``equipot.pair_potentials.ZBL``."""

    kind: str
    """Kind of declaration (``pair_potentials``), for a part the kind of part (``loss``)."""

    target: Any
    origin: str
    """Distribution and version."""

    @property
    def name(self) -> str:
        """Last part of the path."""
        return self.path.rpartition(".")[2]


def components() -> list[Component]:
    """All installed components that can be loaded, sorted by path."""
    found = []
    for declared in declarations():
        try:
            found.append(_loaded(declared))
        except EquipotError:
            continue
    return sorted(found, key=lambda one: one.path)


def _loaded(declared: Declaration) -> Component:
    origin = f"{declared.distribution} {declared.version}"
    return Component(declared.path, declared.fine_kind, load_target(declared), origin)


def find(name: str) -> list[Component]:
    """The components with a short name (``ZBL``) or a full path; a ConfigError suggests what to write or install."""
    known = {one.path: one for one in declarations()}
    matches = [one for path, one in known.items() if name in (path, path.rpartition(".")[2])]
    if not matches and "." in name and (declared := find_declared(name)):
        matches = [declared]
    if matches:
        return [_loaded(one) for one in matches]
    short = name.rpartition(".")[2]
    hint = next((text for kind in NAMESPACES if (text := plugins().install_hint(kind, short))), "")
    names = known if "." in name else {path.rpartition(".")[2] for path in known}
    raise ConfigError(unknown(name, name, names, "component", hint=hint))
