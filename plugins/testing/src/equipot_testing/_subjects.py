"""What ``equipot plugins check`` runs for a plugin id, a distribution, a project folder or a file."""

from __future__ import annotations

import dataclasses
import importlib.util
import inspect
import os
import re
import sys
import types
import typing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from equipot.errors import ConfigError, PluginError, did_you_mean, problem
from equipot.plugins import PARTS, plugins, use_file
from equipot_testing._base import Conformance
from equipot_testing.conformance import (
    EnergyTermConformance,
    ExportTargetConformance,
    ModelBuilderConformance,
    ModifierConformance,
    OutputHeadConformance,
    PairPotentialConformance,
    PartConformance,
    StatsManagerConformance,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from equipot.plugins import Declaration, PluginRecord

KITS: dict[str, type[Conformance]] = {
    "model_builders": ModelBuilderConformance,
    "pair_potentials": PairPotentialConformance,
    "energy_terms": EnergyTermConformance,
    "modifiers": ModifierConformance,
    "stats_managers": StatsManagerConformance,
    "export_targets": ExportTargetConformance,
    PARTS: PartConformance,
}
"""Kind of declaration to conformance class."""

OF_ENERGIES = {"atomic_energy", "total_energy", "forces", "stress", "virial"}
"""Outputs that modifiers of derivatives provide; a modifier that provides others adds a head."""

_GIVEN = {"type_names", "r_max"}
"""Options of builders that the kit sets itself."""

_NEEDED = {"avg_num_neighbors"}
"""Options whose default None stands for a statistic of the data."""

_KNOWN: dict[str, Any] = {"avg_num_neighbors": 12.0, "units": "metal", "chemical_species": ["H", "C", "O"]}
"""Values for options that many components have."""


@dataclasses.dataclass(frozen=True)
class Subject:
    """One component and the conformance class it is checked with."""

    kind: str
    name: str
    owner: str
    """Distribution and version, or the file."""
    kit: type[Conformance] | None
    """None: it cannot be checked."""
    remark: str = ""
    """Options that the check chose itself, or the reason why it cannot run."""


def find_subjects(
    subject: str, *, kind: str = "", name: str = "", options: Mapping[str, Any] | None = None
) -> list[Subject]:
    """Everything that a plugin declares, each with its conformance class.

    Args:
        subject: A plugin's id, its distribution, the folder of its project (with a slash in it, or
            ``.``), or a Python file with components, hooks or conformance classes.
        kind: Only find declarations of this kind.
        name: Only find the component of this name.
        options: Options for the component; only allowed if a single component is left.

    Returns:
        At least one subject.

    Raises:
        PluginError: If there is no such plugin, or it cannot be loaded.
        ConfigError: If no component is left, or options are given for several.
    """
    kinds = [*KITS, OutputHeadConformance.kind]
    if kind and kind not in kinds:
        raise ConfigError(problem("--kind", "unknown kind of declaration", got=kind, hint=f"kinds: {kinds}"))
    path = Path(subject) if os.sep in subject or subject.startswith(".") or subject.endswith(".py") else None
    written = _written_kits(path) if path is not None else []
    required = not written or any(_is_missing(one) for one in written)
    record = _record_of(subject, path, required=required)
    found = [*written, *(_declared_by(record, options or {}, {(one.kind, one.name) for one in written}))]
    chosen = [one for one in found if kind in ("", one.kind) and name in ("", one.name)]
    if not chosen:
        names = [f"{one.kind} {one.name}" for one in found]
        raise ConfigError(problem(subject, "has no such component", got=f"{kind} {name}".strip(), hint=f"{names}"))
    if options and len(chosen) > 1:
        hint = f"choose one with --name: {[one.name for one in chosen]}"
        raise ConfigError(problem("--option", "is for one component only", got=dict(options), hint=hint))
    return chosen


# ------------------------------------------------------------- classes that authors wrote


def _written_kits(path: Path) -> list[Subject]:
    """Conformance classes in a test file, or in the tests of a project."""
    if path.is_dir():
        files = sorted(path.glob("tests/test_*.py"))
    else:
        files = [path] if path.suffix == ".py" and path.is_file() else []
    files = [file for file in files if "Conformance" in file.read_text(encoding="utf-8")]
    found = []
    for file in files:
        for kit in _kits_in(_imported(file)):
            label = kit.name or getattr(kit.target, "__name__", kit.__name__)
            if _uses_fixtures(kit):
                remark = f"{kit.__name__} in {file.name} uses fixtures: run pytest"
                found.append(Subject(kit.kind, label, str(path), None, remark))
            else:
                found.append(Subject(kit.kind, label, str(path), kit, f"as {file.name} says"))
    return found


def _is_missing(subject: Subject) -> bool:
    """Whether a conformance class is for a name that no installed plugin declares."""
    kit = subject.kit
    return kit is not None and kit.target is None and kit.name not in plugins().names(kit.registry())


def _uses_fixtures(kit: type[Conformance]) -> bool:
    """Whether a class uses fixtures of pytest, so that it cannot run without pytest."""
    names = ("FixtureFunctionDefinition", "_pytestfixturefunction")  # pytest from 8.4, and before
    own = [value for base in kit.__mro__ if not base.__module__.startswith("equipot.") for value in vars(base).values()]
    return any(type(value).__name__ == names[0] or hasattr(value, names[1]) for value in own)


def _imported(file: Path) -> types.ModuleType:
    name = f"equipot_checked_{file.stem}"
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise PluginError(problem(str(file), "is not a Python file"))
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        text = f"cannot be imported: {type(error).__name__}: {error}"
        hint = "pip install -e the project first" if isinstance(error, ImportError) else ""
        raise PluginError(problem(str(file), text, hint=hint)) from error
    return module


def _kits_in(module: types.ModuleType) -> Iterable[type[Conformance]]:
    for value in vars(module).values():
        if inspect.isclass(value) and issubclass(value, Conformance) and value.__module__ == module.__name__:
            yield value


# ---------------------------------------------------------------- what plugins declare


def _record_of(subject: str, path: Path | None, *, required: bool) -> PluginRecord | None:
    """The loaded plugin; None if only conformance classes are to be run."""
    wanted = {_plain(subject)}
    if path is not None and path.suffix != ".py":
        wanted = {_plain(_project_name(path))}
    elif path is not None:
        if not required:
            return None
        use_file(str(path))
        wanted = {_plain(str(path))}
    records = plugins().records
    found = [record for record in records if {_plain(record.id), _plain(record.distribution)} & wanted]
    if not found:
        if not required:
            return None
        known = sorted({name for record in records for name in (record.id, record.distribution)})
        hint = (
            f"pip install -e {subject}" if path is not None else did_you_mean(subject, known) or f"installed: {known}"
        )
        raise PluginError(problem("plugins check", "no such plugin is installed", got=subject, hint=hint))
    if found[0].state != "ok":
        raise PluginError(
            f"plugin {found[0].label} {found[0].state}: {found[0].error or 'EQUIPOT_PLUGINS leaves it out'}"
        )
    return found[0]


def _plain(name: str) -> str:
    """A distribution's name in normalised form (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _project_name(folder: Path) -> str:
    file = folder / "pyproject.toml"
    if not file.is_file():
        raise PluginError(problem(str(folder), "is not a project: it has no pyproject.toml", hint="give its folder"))
    section = file.read_text(encoding="utf-8").partition("[project]")[2].partition("\n[")[0]
    found = re.search(r"^name\s*=\s*[\"'](.+?)[\"']", section, flags=re.MULTILINE)
    if found is None:
        raise PluginError(problem(str(file), "has no name in [project]"))
    return found[1]


def _declared_by(
    record: PluginRecord | None, options: Mapping[str, Any], done: set[tuple[str, str]]
) -> Iterable[Subject]:
    if record is None:
        return
    for kind in KITS:
        for declared in plugins().available(kind):
            if declared.plugin != record.id:
                continue
            if (kind, declared.entry.name) not in done:
                yield _subject(declared, options)
            if _adds_a_head(declared) and (OutputHeadConformance.kind, declared.entry.name) not in done:
                yield _subject(declared, options, OutputHeadConformance)


def _adds_a_head(declared: Declaration) -> bool:
    """Whether it is a modifier that provides more than energies and their derivatives."""
    provided = set(getattr(declared.entry, "provides", ())) if declared.kind == "modifiers" else set()
    return bool(provided - OF_ENERGIES)


def _subject(declared: Declaration, options: Mapping[str, Any], base: type[Conformance] | None = None) -> Subject:
    kind, name = declared.kind, declared.entry.name
    base = base or KITS[kind]
    owner = f"{declared.distribution} {declared.version}"
    if kind == PARTS:
        return Subject(kind, name, owner, type(f"Check{name.rpartition('.')[2]}", (PartConformance,), {"name": name}))
    chosen, unknown = _required_options(plugins().load(kind, name), options)
    if unknown:
        remark = f"needs the options {unknown}; give --name {name} --option {unknown[0]}=VALUE, or write a test"
        return Subject(base.kind, name, owner, None, remark)
    attributes: dict[str, Any] = {"name": name, "options": {**chosen, **options}}
    if base is ModifierConformance:
        attributes["model_options"] = {"do_derivatives": not getattr(declared.entry, "provides", ())}
    remark = f"options chosen by the check: {chosen}" if chosen else ""
    kit = type(f"Check{name}", (base,), attributes)
    if issubclass(kit, ModifierConformance) and (reason := _refusal(kit())):
        return Subject(
            base.kind, name, owner, None, f"{reason}; give --option, or write a test whose model() it acts on"
        )
    return Subject(base.kind, name, owner, kit, remark)


def _refusal(kit: ModifierConformance) -> str:
    """Why a modifier has no effect on the kit's tiny model; empty if it has one."""
    model = kit.model()
    try:
        unchanged = kit.modified(model) is model
    except ConfigError as error:
        return str(error).partition("\n")[0]
    return "it changes nothing with these options" if unchanged else ""


def _required_options(component: Any, given: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Values for options without a default, and the names of options whose value cannot be guessed."""
    from equipot.describe import describe_options

    hints = typing.get_type_hints(component)
    chosen: dict[str, Any] = {}
    unknown = []
    for option in describe_options(component):
        optional = bool(option.default) and not (option.name in _NEEDED and option.default == "None")
        if optional or option.name in given or option.name in _GIVEN:
            continue
        value = _KNOWN.get(option.name, _value_of(hints.get(option.name)))
        if value is None:
            unknown.append(option.name)
        else:
            chosen[option.name] = value
    return chosen, unknown


def _value_of(annotation: Any) -> Any:
    """A value of the annotated type, for numbers and choices; None for other types."""
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        annotation = typing.get_args(annotation)[0]
    if typing.get_origin(annotation) is typing.Literal:
        return typing.get_args(annotation)[0]
    return {float: 1.0, int: 2, bool: False}.get(annotation)
