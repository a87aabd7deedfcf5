"""Write a new plugin: an installable package made from the templates next to this module.

Templates are files with ``string.Template`` placeholders; those of a kind's ``empty`` folder leave one
function to the author, those of ``example`` have working physics in its place.
"""

from __future__ import annotations

import dataclasses
import keyword
import re
import shutil
import tempfile
from importlib import resources
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING

from equipot import __version__
from equipot.errors import ConfigError, problem

if TYPE_CHECKING:
    from collections.abc import Iterator
    from importlib.resources.abc import Traversable

WHERE = "equipot plugins new"


@dataclasses.dataclass(frozen=True)
class Kind:
    """What differs between the kinds of plugin."""

    declares: str
    """A key of ``equipot.plugins.HOOKS``."""
    module: str
    """Module of the package that the author writes."""
    title: str
    to_write: str
    """The one function that is left to the author, with placeholders."""
    needs_forces: bool = False
    """Whether its tests need the plugin that brings forces."""


KINDS: dict[str, Kind] = {
    "model-builder": Kind(
        "model_builders", "builder", "Model builder", "${component}Energy.forward", needs_forces=True
    ),
    "pair-potential": Kind("pair_potentials", "potential", "Pair potential", "${function}_energy"),
    "modifier": Kind("modifiers", "modifier", "Modifier", "${component}"),
    "output-head": Kind("modifiers", "head", "Output head", "${camel}Head.forward", needs_forces=True),
    "stats-manager": Kind("stats_managers", "manager", "Statistics manager", "${component}Collector.update"),
    "export-target": Kind("export_targets", "engine", "Engine", "${camel}.refusals", needs_forces=True),
}
"""What can be written, by the value of ``--kind``."""


@dataclasses.dataclass(frozen=True)
class NewPlugin:
    """A package that was written."""

    folder: Path
    distribution: str
    component: str
    """Registered name."""
    source: str
    """The module that the author writes, below ``folder``."""
    to_write: str
    """The function in it that is left to write; empty for an example."""


def new_plugin(name: str, kind: str, into: str | Path = ".", *, example: bool = False) -> NewPlugin:
    """Write a package into a new folder.

    Args:
        name: ``morse``, ``lennard-jones``; the distribution is ``equipot-<name>``.
        kind: A key of ``KINDS``.
        into: Folder in which the package's folder is made.
        example: With working physics, in place of a function to write.

    Returns:
        What was written.

    Raises:
        ConfigError: On an unusable name or kind, or a folder that exists already.
    """
    if kind not in KINDS:
        raise ConfigError(problem(f"{WHERE}: --kind", "unknown", got=kind, hint=f"one of {', '.join(KINDS)}"))
    words = _words(name)
    values = _values(words, kind)
    _check_free(values, kind)
    folder = Path(into) / values["distribution"]
    if folder.exists():
        raise ConfigError(problem(WHERE, "nothing is overwritten", got=str(folder), hint="remove it, or use --into"))
    if not Path(into).is_dir():
        raise ConfigError(problem(f"{WHERE}: --into", "is not a folder", got=str(into)))
    with tempfile.TemporaryDirectory(dir=into, prefix=".equipot-new-") as temporary:
        made = Path(temporary) / "package"
        for path, text in rendered(kind, values, example=example):
            target = made / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text, encoding="utf-8")
        shutil.move(made, folder)
    to_write = "" if example else Template(KINDS[kind].to_write).substitute(values)
    source = f"src/{values['package']}/{values['module']}.py"
    return NewPlugin(folder, values["distribution"], values["component"], source, to_write)


def rendered(kind: str, values: dict[str, str], *, example: bool) -> Iterator[tuple[Path, str]]:
    """Path and text of every file of a new package."""
    templates = resources.files("equipot_testing._scaffold") / "templates"
    own = templates / kind.replace("-", "_")
    options = "" if example else 'addopts = ["--maxfail=1", "--tb=short"] # until the function is written\n'
    usage = Template((own / "usage.md.tmpl").read_text(encoding="utf-8")).substitute(values).strip()
    for part in (templates / "common", own / "common", own / ("example" if example else "empty")):
        for path, file in _files(part, Path()):
            text = Template(file.read_text(encoding="utf-8")).substitute(values, usage=usage, pytest_options=options)
            yield Path(str(path).replace("__package__", values["package"]).replace("dot_", ".")), text


def _files(folder: Traversable, path: Path) -> Iterator[tuple[Path, Traversable]]:
    for item in sorted(folder.iterdir(), key=lambda one: one.name):
        if item.is_dir():
            yield from _files(item, path / item.name)
        elif item.name.endswith(".tmpl"):
            yield path / item.name.removesuffix(".tmpl"), item


def _words(name: str) -> list[str]:
    """Words of a name, without the prefix that every distribution has.

    Raises:
        ConfigError: If the name does not fit a distribution and a Python package.
    """
    bare = re.sub(r"^equipot[-_]", "", name)
    if not re.fullmatch(r"[a-z][a-z0-9]*([-_][a-z0-9]+)*", bare):
        hint = "write small letters and digits in words joined by '-', such as morse or lennard-jones"
        raise ConfigError(problem(f"{WHERE}: NAME", "cannot be the name of a package", got=name, hint=hint))
    words: list[str] = re.split("[-_]", bare)
    if keyword.iskeyword("_".join(words)) or words in (["core"], ["equipot"], ["test"], ["tests"]):
        raise ConfigError(problem(f"{WHERE}: NAME", "is taken", got=name, hint="choose another"))
    return words


def _values(words: list[str], kind: str) -> dict[str, str]:
    """What the placeholders stand for."""
    facts = KINDS[kind]
    function, camel = "_".join(words), "".join(word.capitalize() for word in words)
    component = {"modifier": function, "export-target": function, "output-head": f"add_{function}"}.get(kind, camel)
    requirements = ["equipot[testing]", *(["equipot-force-stress"] if facts.needs_forces else [])]
    return {
        "distribution": "equipot-" + "-".join(words),
        "package": "equipot_" + function,
        "plugin_id": function,
        "module": facts.module,
        "component": component,
        "camel": camel,
        "function": function,
        "statistic": f"{function}_forces_max",
        "summary": f"{facts.title} {component}",
        "core": ".".join(__version__.split(".")[:2]),
        "test_requirements": ", ".join(f'"{one}"' for one in requirements),
    }


def _check_free(values: dict[str, str], kind: str) -> None:
    """Refuse names of core's and of known distributions.

    Raises:
        ConfigError: Naming the owner.
    """
    from equipot.plugins import known_plugins, plugins

    declares, component = KINDS[kind].declares, values["component"]
    known = known_plugins()
    owners = [owner for names in known.values() for owner in names.values() if owner == values["distribution"]]
    owners += [owner for name, owner in known.get(declares, {}).items() if name.lower() == component.lower()]
    owners += ["equipot"] if component in plugins().core_names(declares) else []
    if owners:
        where, what = f"{WHERE}: NAME", f"the name {component!r} belongs to {owners[0]}"
        raise ConfigError(problem(where, what, got=values["plugin_id"], hint="choose another"))
