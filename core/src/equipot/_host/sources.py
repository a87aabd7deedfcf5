"""Find targets of the wrong kind in the source of plugins, without importing it: listing plugins imports no torch.

Only what is certain counts. A class whose bases come from elsewhere, or a name that a function makes, may be anything;
it is checked when it is imported.
"""

from __future__ import annotations

import functools
import importlib.util
import re
from pathlib import Path
from typing import NamedTuple

from equipot._host.declaration import Declaration, base_of
from equipot.declarations import CommandEntry, ModifierEntry, TargetAliasEntry

_DEFINITION = re.compile(
    r"^(?:(?P<class>class)|(?:async )?def)[ \t]+(?P<name>\w+)[ \t]*(?:\[[^\]\n]*\])?(?:\((?P<bases>[^()]*)\))?",
    re.MULTILINE,
)
_ASSIGNED = re.compile(r"^(\w+)[ \t]*(?::[^=\n]*)?=[ \t]*(?P<literal>[-\d\"'\[{]|None|True|False)?", re.MULTILINE)
_IMPORT = re.compile(r"^[ \t]*from[ \t]+(\.*[\w.]*)[ \t]+import[ \t]+(\([^)]*\)|[^\n]+)", re.MULTILINE)
_MAKES_NAMES = re.compile(r"__getattr__|import[ \t]+\*|globals\(|setattr\(|exec\(")
_PAIRS = ("equipot.model.PairPotential", "equipot.model.AnalyticPairPotential")
_BASES: dict[str, tuple[str, ...]] = {
    "equipot.model.ModelRecipe": ("equipot.model.ModelBuilder", "equipot.model.ModelRecipe"),
    "equipot.model.PairPotential": _PAIRS,
    "equipot.model.EnergyTerm": ("equipot.model.EnergyTerm", *_PAIRS),
    "equipot.data.StatsManager": ("equipot.data.StatsManager",),
    "equipot.compile.ExportTarget": ("equipot.compile.ExportTarget",),
}
"""By required base, protocols left out: core's classes that have it. A class that has only others of these, or none, is
of another kind."""

_SUFFIXES = (".pyi", ".py")


class Definition(NamedTuple):
    """What a name is, as far as the source says."""

    form: str
    """``class``, ``function``, ``value``, ``missing``, or empty if it is not certain."""
    bases: tuple[str, ...] = ()
    """For a class: dotted paths of its bases; an empty text for each that is not certain."""


_UNKNOWN = Definition("")


def fault_in_source(declared: Declaration) -> str:
    """What is certainly wrong with the target of a declaration, as one sentence; empty if nothing is."""
    entry = declared.entry
    if isinstance(entry, TargetAliasEntry):
        return ""
    module, _, name = entry.target.rpartition(".")
    found = _definition(module, name)
    expected, fits = _expected(declared, found)
    if found.form == "" or fits:
        return ""
    where = f"{entry.target!r}, the target of {declared.role},"
    return f"{where} does not exist" if found.form == "missing" else f"{where} must be {expected}"


def _expected(declared: Declaration, found: Definition) -> tuple[str, bool]:
    """What a target must be, and whether this one may be it."""
    entry = declared.entry
    if isinstance(entry, ModifierEntry):
        return f"a function, got a {found.form}", found.form == "function"
    if isinstance(entry, CommandEntry):
        return f"a click.Command, got a {found.form}", False
    base = base_of(entry)
    if found.form != "class":
        return f"a class, got a {found.form}", False
    others = {one for bases in _BASES.values() for one in bases} - set(_BASES.get(base, ()))
    wrong = base in _BASES and all(one in others for one in found.bases)  # true without any base
    return f"a subclass of {entry.base or base}", not wrong


def _definition(module: str, name: str, depth: int = 8) -> Definition:
    """Look a name up in the source of a module, and follow imports within its package."""
    text = _source(module)
    if text is None or not depth:
        return _UNKNOWN
    if found := _definitions(module).get(name):
        return found
    if origin := _imports(module).get(name):
        parent, _, original = origin.rpartition(".")
        same_package = parent.partition(".")[0] == module.partition(".")[0]
        return _definition(parent, original, depth - 1) if same_package else _UNKNOWN
    may_be_made = name in text or _MAKES_NAMES.search(text)
    return _UNKNOWN if may_be_made else Definition("missing")


@functools.lru_cache(maxsize=256)
def _definitions(module: str) -> dict[str, Definition]:
    """What a module itself defines, by name."""
    text = _source(module) or ""
    found = {}
    for one in _DEFINITION.finditer(text):
        bases = [base.partition("[")[0].strip() for base in (one["bases"] or "").split(",")]
        bases = [base for base in bases if base and "=" not in base and base not in ("object", "ABC", "abc.ABC")]
        nested = text[one.end() : one.end() + 1] == "("  # bases with calls
        if nested or text[: one.start()].removesuffix("\n").rpartition("\n")[2].strip():  # perhaps a decorator
            found[one["name"]] = Definition("class", ("",)) if one["class"] and (bases or nested) else _UNKNOWN
        elif one["class"]:
            found[one["name"]] = Definition("class", tuple(_imports(module).get(base, "") for base in bases))
        else:
            found[one["name"]] = Definition("function")
    for one in _ASSIGNED.finditer(text):
        found[one[1]] = Definition("value") if one["literal"] and one[1] not in found else _UNKNOWN
    return found


@functools.lru_cache(maxsize=256)
def _imports(module: str) -> dict[str, str]:
    """Names that ``from … import`` binds in a module, with their dotted paths."""
    found = {}
    for source, names in _IMPORT.findall(_source(module) or ""):
        for item in re.sub(r"#[^\n]*", "", names.strip("()")).split(","):
            original, _, alias = (part.strip() for part in item.partition(" as "))
            if original:
                found[alias or original] = f"{_absolute(module, source)}.{original}"
    return found


def _absolute(module: str, source: str) -> str:
    dots = len(source) - len(source.lstrip("."))
    if not dots:
        return source
    file = _file(module)
    package = module.split(".") if file is not None and file.stem == "__init__" else module.split(".")[:-1]
    parents = package[: len(package) - dots + 1]
    return ".".join([*parents, source[dots:]]).rstrip(".")


@functools.lru_cache(maxsize=256)
def _source(module: str) -> str | None:
    """The text of a module, or of its stub, which also names what a package exports lazily."""
    file = _file(module)
    try:
        return None if file is None else file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return None


@functools.lru_cache(maxsize=256)
def _file(module: str) -> Path | None:
    root, *parts = module.split(".")
    try:
        spec = importlib.util.find_spec(root)  # of a top-level module, which imports nothing
    except (ImportError, ValueError):
        return None
    if spec is None or spec.origin is None:
        return None
    if not spec.submodule_search_locations:
        return None if parts else Path(spec.origin)
    for folder in spec.submodule_search_locations:
        place = Path(folder, *parts)
        inits = (place / f"__init__{suffix}" for suffix in _SUFFIXES)
        files = (place.with_suffix(suffix) for suffix in _SUFFIXES)
        if found := next((file for file in (*inits, *files) if file.is_file()), None):
            return found
    return None
