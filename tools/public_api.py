"""Record the public interface, and compare the code with the record.

`python tools/public_api.py` lists what differs; with `--update` the record (`tests/public_api.json`) is written again,
at each release and after a deliberate incompatible change. Names added since the record are free to change until then.
"""

from __future__ import annotations

import argparse
import ast
import dataclasses
import functools
import importlib
import inspect
import json
import pkgutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import ModuleType

RECORD = Path(__file__).resolve().parent.parent / "tests" / "public_api.json"

PACKAGES = (
    "equipot", "equipot_allegro", "equipot_dipoles", "equipot_electrostatics", "equipot_engines", "equipot_finetune",
    "equipot_fit", "equipot_force_stress", "equipot_from_nequip", "equipot_kernels", "equipot_lammps", "equipot_nequip",
    "equipot_simulate", "equipot_testing", "equipot_toolbox", "equipot_uncertainty", "equipot_zbl",
)  # fmt: skip
"""Packages whose interface is recorded."""

NOT_FOR_IMPORT = {"plugin", "hookspecs"}
"""What declares: hooks have a record of their own, registered names are found by the host."""

Json = dict[str, Any]


@functools.cache
def public_modules() -> dict[str, tuple[str, ...]]:
    """Every public module and its names: a module is public unless a part of its path begins with ``_``."""
    modules = (one for package in PACKAGES for one in (package, *_below(importlib.import_module(package))))
    found = {module: _names(module) for module in modules}
    return {module: names for module, names in found.items() if names}


def _below(package: ModuleType) -> Iterator[str]:
    for one in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
        last = one.name.rpartition(".")[2]
        if last.startswith("_") or last in NOT_FOR_IMPORT:
            continue
        yield one.name
        if one.ispkg:
            yield from _below(importlib.import_module(one.name))


def _names(name: str) -> tuple[str, ...]:
    module = importlib.import_module(name)
    if listed := getattr(module, "__all__", None):
        return tuple(sorted(listed))
    found = []
    for statement in ast.parse(inspect.getsource(module)).body:
        if isinstance(statement, ast.FunctionDef | ast.ClassDef):
            found.append(statement.name)
        elif isinstance(statement, ast.Assign | ast.AnnAssign):
            targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
            found += [target.id for target in targets if isinstance(target, ast.Name)]
    return tuple(sorted(one for one in found if not one.startswith("_") and one != "logger"))


def record() -> Json:
    """The public interface as plain containers."""
    from equipot import __version__, hookspecs
    from equipot.plugins import API_MAJOR, HOOKS

    modules = {}
    for name, names in sorted(public_modules().items()):
        module = importlib.import_module(name)
        modules[name] = {one: _described(getattr(module, one)) for one in names}
    hooks = {f"equipot_{kind}": _parameters(getattr(hookspecs, f"equipot_{kind}")) for kind in HOOKS}
    return {"version": __version__, "api": API_MAJOR, "hooks": hooks, "modules": modules}


def _described(value: Any) -> Json:
    if inspect.isclass(value):
        return _class(value)
    return {"parameters": _parameters(value)} if inspect.isroutine(value) else {}


def _class(cls: type) -> Json:
    """Constructor, public members that equipot defines, and what a subclass must write."""
    members = {
        name: _parameters(member) if inspect.isroutine(member) else None
        for base in reversed(cls.__mro__)
        if base.__module__.startswith("equipot")
        for name, member in vars(base).items()
        if not name.startswith("_")
    }
    return {
        "parameters": _parameters(cls),
        "abstract": sorted(getattr(cls, "__abstractmethods__", ())),
        "members": dict(sorted(members.items())),
        "fields": sorted(one.name for one in dataclasses.fields(cls)) if dataclasses.is_dataclass(cls) else [],
    }


def _parameters(value: Any) -> Json:
    """Name to "required" or "optional", keyword-only ones marked; empty where Python knows no signature."""
    try:
        signature = inspect.signature(value.__func__ if isinstance(value, classmethod | staticmethod) else value)
    except (TypeError, ValueError):
        return {}
    found = {}
    for name, one in signature.parameters.items():
        need = (
            "optional"
            if one.default is not one.empty or one.kind in (one.VAR_POSITIONAL, one.VAR_KEYWORD)
            else "required"
        )
        found[name] = f"{need} keyword" if one.kind is one.KEYWORD_ONLY else need
    return found


def incompatible(old: Json, new: Json) -> list[str]:
    """What code written for the old interface could stumble over in the new one."""
    problems = [f"hook {name} is gone" for name in old["hooks"].keys() - new["hooks"].keys()]
    for name in old["hooks"].keys() & new["hooks"].keys():
        lost = old["hooks"][name].keys() - new["hooks"][name].keys()
        problems += [f"hook {name} lost its argument {one}" for one in sorted(lost)]
    if new["api"] != old["api"]:
        problems.append(f"the hook API is {new['api']}, was {old['api']}")
    for module, names in old["modules"].items():
        for name, was in names.items():
            now = new["modules"].get(module, {}).get(name)
            problems += [f"{module}.{name} is gone"] if now is None else _changed(f"{module}.{name}", was, now)
    return sorted(problems)


def _changed(where: str, old: Json, new: Json) -> list[str]:
    problems = _signature(where, old.get("parameters", {}), new.get("parameters", {}))
    problems += [
        f"{where}: a subclass must now write {one}" for one in set(new.get("abstract", ())) - {*old.get("abstract", ())}
    ]
    problems += [f"{where}: the field {one} is gone" for one in set(old.get("fields", ())) - {*new.get("fields", ())}]
    for name, parameters in old.get("members", {}).items():
        if name not in new.get("members", {}):
            problems.append(f"{where}.{name} is gone")
        elif parameters is not None:
            problems += _signature(f"{where}.{name}", parameters, new["members"][name] or {})
    return problems


def _signature(where: str, old: Json, new: Json) -> list[str]:
    problems = [f"{where}: the argument {one} is gone" for one in old.keys() - new.keys()]
    for name, kind in new.items():
        if kind.startswith("required") and not old.get(name, "").startswith("required"):
            problems.append(f"{where}: the argument {name} is required")
        elif name in old and kind.endswith("keyword") and not old[name].endswith("keyword"):
            problems.append(f"{where}: the argument {name} must now be given by name")
    before, after = (
        [one for one, kind in of.items() if not kind.endswith("keyword") and one in old] for of in (old, new)
    )
    if [one for one in before if one in after] != after:
        problems.append(f"{where}: the order of arguments changed")
    return problems


def main() -> int:
    """Compare or write; the exit code is 1 if the record is not kept."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--update", action="store_true", help="write the record again")
    new = record()
    if parser.parse_args().update:
        RECORD.write_text(json.dumps(new, indent=1) + "\n", encoding="utf-8")
        print(f"wrote {RECORD.name}: {sum(map(len, new['modules'].values()))} names, {len(new['hooks'])} hooks")
        return 0
    problems = incompatible(json.loads(RECORD.read_text(encoding="utf-8")), new)
    print("\n".join(problems) or "compatible with the record")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
