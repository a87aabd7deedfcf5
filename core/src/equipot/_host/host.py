"""The plugin host finds, loads and lists plugins; a broken one does not affect the others.

Plugins are entry points in the group ``equipot.plugins.v1``. They are loaded on first use, not by
``import equipot``, and loading them does not import torch.
"""

from __future__ import annotations

import contextvars
import dataclasses
import functools
import json
import logging
import os
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from importlib import resources
from pathlib import Path
from types import ModuleType
from typing import Any

import pluggy

from equipot import hookspecs
from equipot._host import local_file
from equipot._host.declaration import (
    NAMESPACES,
    Declaration,
    is_target,
    load_target,
    singular,
    warn_if_deprecated,
)
from equipot._host.discovery import API_MAJOR, PluginRecord, entry_points, unmet_requirement
from equipot._host.guard import guarded
from equipot._importing import load_module
from equipot._interrupts import Interrupted, interrupts_named
from equipot.declarations import (
    CommandEntry,
    EnergyTermEntry,
    Entry,
    ExportTargetEntry,
    FieldEntry,
    ModelBuilderEntry,
    ModifierEntry,
    PairPotentialEntry,
    PartEntry,
    StatsManagerEntry,
    TargetAliasEntry,
)
from equipot.errors import PluginError, PluginNotFoundError, nearest, problem, unknown

logger = logging.getLogger("equipot.plugins")

KINDS: dict[str, type[Entry]] = {
    "model_builders": ModelBuilderEntry,
    "pair_potentials": PairPotentialEntry,
    "energy_terms": EnergyTermEntry,
    "modifiers": ModifierEntry,
    "stats_managers": StatsManagerEntry,
}
"""Kinds of components that configs name by a short name; the hook is ``equipot_<kind>``."""

PARTS = "parts"
"""Kind of the declarations of classes that configs name by their path."""

DATA_FIELDS = "fields"
"""Kind of the declarations of data fields."""

HOOKS: dict[str, type[Entry]] = {
    **KINDS,
    PARTS: PartEntry,
    DATA_FIELDS: FieldEntry,
    "export_targets": ExportTargetEntry,
    "target_aliases": TargetAliasEntry,
    "commands": CommandEntry,
}
"""All kinds of declarations: components with short names, parts, fields, engines, names of other programs, commands."""

CORE = "equipot"
"""The distribution whose declarations come first; plugins cannot reuse its names."""

HOOK_NAMES = tuple(f"equipot_{kind}" for kind in HOOKS)

KIND_OF_NAMESPACE = {namespace: kind for kind, namespace in NAMESPACES.items()}


class PluginHost:
    """The installed plugins and what they declare.

    Args:
        switch: Value of ``EQUIPOT_PLUGINS``: empty (all), ``none``, ``a,b`` (only these) or
            ``-c`` (all but these). Core's own declarations are always there.
        strict: Raise at the first plugin that fails to load.
        files: Local Python files to take as plugins, see ``equipot._host.local_file``.
    """

    def __init__(self, switch: str = "", *, strict: bool = False, files: Iterable[str] = ()) -> None:
        self.records: list[PluginRecord] = []
        self.fields: dict[str, FieldEntry] = {}
        """Data fields by key, core's first: the rows of ``equipot.fields.FIELDS``."""
        self.labels: dict[str, FieldEntry] = {}
        """Those of the fields that may be labels."""
        self._declared: dict[str, dict[str, list[Declaration]]] = {kind: {} for kind in HOOKS}
        self._manager = pluggy.PluginManager(hookspecs.PROJECT)
        self._manager.add_hookspecs(hookspecs)
        names = {name.strip() for name in switch.split(",")} - {""}
        self._excluded = {name[1:] for name in names if name.startswith("-")}
        self._included = names - {f"-{name}" for name in self._excluded}
        self._strict = strict
        token = _loading.set(self)
        try:
            self._load(files)
        finally:
            _loading.reset(token)

    # ------------------------------------------------------------------ loading

    def _load(self, files: Iterable[str]) -> None:
        self._load_all()
        ids = sorted({record.id for record in self.records})
        for name in sorted(self._included - {*ids, "none"}):  # misspelled, so that fewer plugins than asked for loaded
            raise PluginError(unknown("EQUIPOT_PLUGINS", name, ids, "plugin"))
        for path in files:
            self._load_file(path)

    def _load_all(self) -> None:
        found = sorted(
            entry_points(), key=lambda pair: (pair[0].distribution != CORE, pair[0].distribution, pair[0].id)
        )
        by_id: dict[tuple[str, str], list[PluginRecord]] = {}
        for record, _ in found:
            by_id.setdefault((record.api, record.id), []).append(record)
        for record, entry_point in found:
            ours = by_id.get((str(API_MAJOR), record.id), [])
            if record not in ours and any(one.distribution == record.distribution for one in ours):
                continue  # the same plugin for another version of the API
            self.records.append(record)
            clashing = by_id[record.api, record.id]
            if not self._enabled(record.id):
                record.state = "disabled"
            elif len(clashing) > 1:
                record.state = "ambiguous"
                owners = " and ".join(f"{one.distribution} {one.version}" for one in clashing)
                record.error = f"two plugins have the id {record.id!r}: {owners}; uninstall one"
            elif reason := unmet_requirement(entry_point):
                record.state, record.error = "refused", reason
            else:
                self._load_plugin(record, entry_point.load)
            if self._strict and record.error:
                raise PluginError(f"plugin {record.label}: {record.error}")

    def _enabled(self, plugin_id: str) -> bool:
        wanted = plugin_id in self._included or not self._included
        return plugin_id == "core" or (wanted and plugin_id not in self._excluded)

    def _load_plugin(self, record: PluginRecord, load: Callable[[], ModuleType]) -> None:
        module = None
        start = time.perf_counter()
        try:
            with guarded(record.notes, declaring=True, package=record.package):
                with interrupts_named(f"plugin {record.label}"):
                    module = load()
                declared = self._register(record, module)
        except (KeyboardInterrupt, Interrupted):
            raise
        except BaseException as error:  # noqa: BLE001 - a plugin may even raise SystemExit at import
            if module is not None and self._manager.get_name(module) == record.id:
                self._manager.unregister(module)
            record.state, record.error = "failed", f"{type(error).__name__}: {error}".strip(": ")
            logger.warning("plugin %s failed to load: %s", record.label, record.error)
            return
        finally:
            record.seconds = time.perf_counter() - start
        self._add(record, declared)

    def _register(self, record: PluginRecord, module: ModuleType) -> list[Declaration]:
        if other := self._manager.get_name(module):
            raise PluginError(f"its module {record.target!r} is that of the plugin {other!r} already; name it once")
        for name, value in vars(module).items():
            if hasattr(value, "equipot_impl") and name not in HOOK_NAMES:
                raise PluginError(unknown(name, name, HOOK_NAMES, "hook"))
        self._manager.register(module, name=record.id)
        self._manager.check_pending()
        return list(self._collect(record, module))

    def _load_file(self, path: str) -> None:
        """Load a local file as a plugin; unlike those of installed plugins, its failures are errors."""
        name = Path(path).stem
        if other := next((one for one in self.records if one.id == name and one.version != local_file.VERSION), None):
            what = f"its name is that of the plugin {other.label}"
            raise PluginError(problem("--plugin", what, got=path, hint="rename it"))
        module = local_file.load_file(path)
        record = PluginRecord(name, path, local_file.VERSION, str(API_MAJOR), name)
        self.records.append(record)
        try:
            if any(hasattr(value, "equipot_impl") for value in vars(module).values()):
                declared = self._register(record, module)
            else:
                facts = (record.id, record.distribution, record.version)
                declared = [Declaration(kind, entry, *facts) for kind, entry in local_file.entries_of(module, KINDS)]
        except PluginError as error:
            raise PluginError(f"plugin {record.label}: {error}") from error
        except Exception as error:
            raise PluginError(f"plugin {record.label}: {type(error).__name__}: {error}") from error
        self._add(record, declared)

    def _add(self, record: PluginRecord, declared: list[Declaration]) -> None:
        record.state = "ok"
        for item in declared:
            record.declares.setdefault(item.kind, []).append(item.entry.name)
            known = self._declared[item.kind].setdefault(item.entry.name, [])
            if not known or item.kind not in (PARTS, DATA_FIELDS):  # those are the same, whoever declares them
                known.append(item)
            if isinstance(item.entry, FieldEntry):
                self.fields.setdefault(item.entry.key, item.entry)
                if item.entry.label:
                    self.labels.setdefault(item.entry.key, item.entry)
        for note in record.notes:
            logger.warning("plugin %s: %s", record.label, note)

    def _collect(self, record: PluginRecord, module: object) -> Iterator[Declaration]:
        for kind, entry_type in HOOKS.items():
            hook = getattr(self._manager.hook, f"equipot_{kind}")
            for implementation in hook.get_hookimpls():
                if implementation.plugin is not module:
                    continue
                names: set[str] = set()
                for entry in implementation.function():
                    if not isinstance(entry, entry_type):
                        raise PluginError(
                            f"equipot_{kind} must yield {entry_type.__name__}, got {type(entry).__name__}"
                        )
                    if isinstance(entry, FieldEntry):
                        self._check_field(entry)
                    elif record.distribution != CORE and entry.name in self.core_names(kind):
                        raise PluginError(
                            f"declares the {singular(kind)} {entry.name!r}, a name of core's; choose another"
                        )
                    if entry.name in names:
                        raise PluginError(f"equipot_{kind} yields the name {entry.name!r} twice")
                    names.add(entry.name)
                    if os.environ.get("EQUIPOT_TRACE_PLUGINS", "") not in ("", "0"):
                        means = entry.target or entry.summary
                        text = f"{record.id}: equipot_{kind} declares {entry.name} -> {means}"
                        print(f"equipot plugins: {text}", file=sys.stderr)  # noqa: T201 - asked for by the user
                    yield Declaration(kind, entry, record.id, record.distribution, record.version)

    def _check_field(self, entry: FieldEntry) -> None:
        """Refuse a field that is declared otherwise already."""
        for other in self._declared[DATA_FIELDS].get(entry.key, []):
            names = [one.name for one in dataclasses.fields(entry) if one.compare]
            both = {name: (getattr(entry, name), getattr(other.entry, name)) for name in names}
            if named := [f"{name} {here!r}, there {there!r}" for name, (here, there) in both.items() if here != there]:
                text = f"declares the data field {entry.key!r} otherwise than {other.label}: {'; '.join(named)}"
                raise PluginError(f"{text}; agree on one declaration, or choose another key")

    # ------------------------------------------------------------------ look-up

    def available(self, kind: str) -> list[Declaration]:
        """Declarations of a kind whose names are unambiguous, sorted by name."""
        return [items[0] for _, items in sorted(self._declared[kind].items()) if len(items) == 1]

    def declarations(self, kind: str) -> list[Declaration]:
        """All declarations of a kind, with those whose names are ambiguous, sorted by name."""
        return [item for _, items in sorted(self._declared[kind].items()) for item in items]

    def names(self, kind: str) -> list[str]:
        """Registered names of a kind, ambiguous ones included."""
        return sorted(self._declared[kind])

    def ambiguous(self) -> dict[str, list[Declaration]]:
        """Names that several plugins declare for the same kind, as ``kind.name``."""
        return {
            f"{kind}.{name}": items
            for kind, by_name in self._declared.items()
            for name, items in by_name.items()
            if len(items) > 1
        }

    def lookup(self, kind: str, name: str) -> Declaration:
        """The declaration of a registered name.

        Args:
            kind: A key of ``HOOKS``.
            name: The name, case-sensitive.

        Raises:
            PluginNotFoundError: If nothing declares it, saying what is installed or to install.
            PluginError: If two plugins declare it.
        """
        items = self._declared[kind].get(name, [])
        if len(items) == 1:
            return warn_if_deprecated(items[0])
        if items:
            owners = " and ".join(f"{item.distribution} {item.version} ({item.entry.target})" for item in items)
            raise PluginError(f"{singular(kind)} {name!r} is declared by {owners}; use the full path of one of them")
        raise PluginNotFoundError(self._not_found(kind, name))

    def _not_found(self, kind: str, name: str) -> str:
        text = f"no {singular(kind)} named {name!r}; installed: {self.names(kind)}"
        if hint := self.install_hint(kind, name):
            text += f"; {hint}"
        elif close := nearest(name, [*self.names(kind), *known_plugins().get(kind, {})]):
            text += f". Did you mean {close!r}?"
            text += f" ({self.install_hint(kind, close)})" if close not in self.names(kind) else ""
        for record in self.records:
            if record.error:
                text += f"\n  plugin {record.label} {record.state}: {record.error}"
        return text

    def core_names(self, kind: str) -> set[str]:
        """Names of core in the namespace of a kind: declared ones and public classes."""
        declared = {name for name, items in self._declared[kind].items() for one in items if one.distribution == CORE}
        namespace = NAMESPACES.get(kind)  # it exports lazily, so that importing it does not import torch
        return declared | set(getattr(load_module(namespace), "__all__", ()) if namespace else ())

    def install_hint(self, kind: str, name: str) -> str:
        """How to get a name from a known distribution, or an empty string; kind ``provides``: an output field."""
        distribution = known_plugins().get(kind, {}).get(name)
        if any(record.distribution == distribution and record.state == "disabled" for record in self.records):
            return f"EQUIPOT_PLUGINS switches off {distribution}"
        return f"pip install {distribution}" if distribution else ""

    def load(self, kind: str, name: str) -> Any:
        """Import the target of a registered name.

        Raises:
            PluginError: If the target cannot be imported, naming the plugin.
        """
        return load_target(self.lookup(kind, name))

    def find_class(self, target: object) -> Declaration | None:
        """The declaration whose target is the given class or function, or None."""
        found = [one for kind in (*KINDS, PARTS) for one in self.declarations(kind) if is_target(one, target)]
        return min(found, key=lambda one: bool(one.entry.deprecated), default=None)

    def find_target(self, path: str) -> Declaration | None:
        """The declaration of a component or part whose target is written like this, or None; imports nothing."""
        found = (one for kind in (*KINDS, PARTS) for one in self.declarations(kind) if one.entry.target == path)
        return next(found, None)

    def packages(self) -> dict[str, PluginRecord]:
        """Top-level packages of loaded plugins other than core."""
        return {record.package: record for record in self.records if record.state == "ok" and record.id != "core"}

    def owner_of(self, path: str) -> PluginRecord | None:
        """The loaded plugin, other than core, whose package contains a dotted path, or None."""
        return self.packages().get(path.split(".", maxsplit=1)[0])


@functools.cache
def plugins() -> PluginHost:
    """The host of this process, loaded on first use with the switches of the environment.

    ``EQUIPOT_PLUGINS=none|a,b|-c`` chooses, ``EQUIPOT_STRICT_PLUGINS=1`` raises on the first
    failure, ``EQUIPOT_TRACE_PLUGINS=1`` prints each declaration to stderr.
    """
    with _MAKING:
        return PluginHost(
            os.environ.get("EQUIPOT_PLUGINS", "").strip(),
            strict=os.environ.get("EQUIPOT_STRICT_PLUGINS", "") not in ("", "0"),
            files=tuple(_files),
        )


_MAKING = threading.RLock()
"""Held while a host is made: when two threads did so at a time, Python 3.11's parser once failed with a SystemError."""


_loading: contextvars.ContextVar[PluginHost | None] = contextvars.ContextVar("host that is loading", default=None)


def fields_host() -> PluginHost:
    """The host to ask for data fields: while one loads, code that a plugin imports sees the fields known so far."""
    return _loading.get() or plugins()


_files: list[str] = []


def use_file(path: str) -> None:
    """Use a local Python file as a plugin from now on, like ``--plugin`` on the command line.

    Args:
        path: A file with hook implementations, or with classes of components.

    Raises:
        PluginError: If it cannot be used.
    """
    if path not in _files:
        _files.append(path)
        plugins.cache_clear()
    try:
        plugins()
    except PluginError:
        _files.remove(path)
        raise


def public_target(target: object) -> str:
    """The dotted path that configs use for a class: its registered name, or its path as a declared part.

    Without a declaration, it is the path where its package exports or defines it.

    Examples: ``equipot.model.NequIPGNNModel`` for a registered builder, and
    ``equipot_allegro.TwoBodyBesselScalarEmbed`` for a part of its options.
    """
    declared = plugins().find_class(target)
    if declared is not None:
        return declared.path
    module, name = target.__module__, target.__qualname__  # type: ignore[attr-defined]
    root = module.split(".", maxsplit=1)[0]
    return f"{root}.{name}" if getattr(sys.modules.get(root), name, None) is target else f"{module}.{name}"


def registered_attribute(kind: str, module: str, name: str) -> Any:
    """Import the registered object of a name, for the ``__getattr__`` of a module.

    Raises:
        PluginNotFoundError: If no plugin declares the name; it is an AttributeError too.
        AttributeError: For names with a leading underscore, without loading plugins.
    """
    if name.startswith("_"):
        raise AttributeError(f"module {module!r} has no attribute {name!r}")
    return plugins().load(kind, name)


def registered_names(kind: str, module: str) -> list[str]:
    """Public names of a module and the registered names of a kind, for the module's ``__dir__``."""
    own = sys.modules[module]
    try:
        registered = plugins().names(kind)
    except PluginError:  # a misspelled switch must not break completion
        registered = []
    public = getattr(own, "__all__", None) or [name for name in vars(own) if name.startswith("__")]
    return sorted({*public, *registered})


@functools.cache
def known_plugins() -> dict[str, dict[str, str]]:
    """Kind to registered name to distribution, of known plugins that may not be installed."""
    text = resources.files("equipot").joinpath("known_plugins.json").read_text(encoding="utf-8")
    known: dict[str, dict[str, str]] = json.loads(text)
    return known
