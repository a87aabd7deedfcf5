"""The plugin host: list installed plugins, and look up components by registered name."""

from __future__ import annotations

from equipot._host.declaration import NAMESPACES, Declaration
from equipot._host.discovery import API_MAJOR, GROUP, PluginRecord
from equipot._host.host import (
    DATA_FIELDS,
    HOOK_NAMES,
    HOOKS,
    KIND_OF_NAMESPACE,
    KINDS,
    PARTS,
    PluginHost,
    fields_host,
    known_plugins,
    plugins,
    public_target,
    registered_attribute,
    use_file,
)
from equipot._host.local_file import VERSION as LOCAL_FILE

__all__ = [
    "API_MAJOR",
    "DATA_FIELDS",
    "GROUP",
    "HOOKS",
    "HOOK_NAMES",
    "KINDS",
    "KIND_OF_NAMESPACE",
    "LOCAL_FILE",
    "NAMESPACES",
    "PARTS",
    "Declaration",
    "PluginHost",
    "PluginRecord",
    "fields_host",
    "known_plugins",
    "plugins",
    "public_target",
    "registered_attribute",
    "use_file",
]
