"""What ``equipot describe`` shows to authors of plugins: hooks and base classes."""

from __future__ import annotations

import importlib
import inspect
import textwrap

from equipot._cli.common import print_table
from equipot.describe import ClassDoc, describe_class, describe_hook
from equipot.plugins import HOOK_NAMES, plugins

MODULES = ("equipot.model", "equipot.data", "equipot.train", "equipot.compile", "equipot.options")
"""Where a class that is given by its bare name is looked for."""


def show(name: str) -> bool:
    """Show a hook or a class of core; returns False if it is none of these."""
    if name in HOOK_NAMES:
        _show_hook(name)
    elif (found := find_class(name)) is not None:
        _show_class(found)
    else:
        return False
    return True


def find_class(name: str) -> ClassDoc | None:
    """A public class of core by its path or its bare name; None if there is none, or if it is a declared part."""
    module, _, bare = name.rpartition(".")
    for place in [module] if module else MODULES:
        if place in MODULES and bare in getattr(importlib.import_module(place), "__all__", ()):
            target = getattr(importlib.import_module(place), bare)
            if inspect.isclass(target) and plugins().find_class(target) is None:
                return describe_class(target, f"{place}.{bare}")
    return None


def _show_hook(name: str) -> None:
    found = describe_hook(name)
    print(f"{name}  (hook)")
    print(_filled(found.doc))
    print(f"\nyields {found.entry}:")
    rows = [(one.name, one.annotation, one.default or "required", one.doc) for one in found.fields]
    print_table(rows, header=("field", "type", "default", "meaning"))
    print("\nexample:")
    print(textwrap.indent(found.example, "  "))
    if found.namespace:
        print(f"\nin configs: {found.namespace}.NAME")
    if found.base is not None:
        print(f"\nthe target derives from {found.base.path}; 'equipot describe {found.base.path}' shows its methods")
    kind = name.removeprefix("equipot_")
    if declared := plugins().declarations(kind):
        print("\ndeclared by installed plugins:")
        print_table([(one.entry.name, one.distribution, one.entry.summary) for one in declared])


def _show_class(found: ClassDoc) -> None:
    print(f"{found.path}  (base class)")
    print(_filled(found.doc))
    for method in found.methods:
        print(f"\n{method.name}{method.signature}  ({'to write' if method.required else 'may be overridden'})")
        print(textwrap.indent(method.doc.replace("``", ""), "  "))
    if found.options:
        print()
        rows = [(one.name, one.annotation, one.default or "required", one.unit, one.doc) for one in found.options]
        print_table(rows, header=("option", "type", "default", "unit", "meaning"))


def _filled(doc: str) -> str:
    paragraphs = doc.replace("``", "").split("\n\n")
    return "\n\n".join(textwrap.fill(" ".join(one.split()), 100) for one in paragraphs)
