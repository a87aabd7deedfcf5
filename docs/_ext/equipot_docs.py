"""Directives that render reference tables from the code, so that they are always up to date."""

from __future__ import annotations

import ast
import importlib
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from docutils import nodes
from docutils.statemachine import StringList
from sphinx.util.docutils import SphinxDirective

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from sphinx.application import Sphinx


def _markdown_table(header: list[str], rows: Iterable[list[str]]) -> list[str]:
    def line(cells: list[str]) -> str:
        return "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"

    return [line(header), "|" + " --- |" * len(header), *(line(row) for row in rows)]


class TextDirective(SphinxDirective):
    """Base of directives that write Markdown, which is parsed where the directive is."""

    required_arguments = 0
    optional_arguments = 1

    def lines(self) -> list[str]:
        """Markdown to parse."""
        raise TypeError("a subclass gives the lines")

    def run(self) -> list[nodes.Node]:
        """The parsed lines."""
        return self.parsed(self.lines())

    def parsed(self, lines: list[str]) -> list[nodes.Node]:
        """Nodes of some lines of Markdown."""
        container = nodes.container()
        self.state.nested_parse(StringList(lines, source="generated"), 0, container)
        return list(container.children)


class OptionsDirective(TextDirective):
    """``{equipot-options} dotted.path``: options with type, default and meaning."""

    required_arguments = 1
    optional_arguments = 0

    def lines(self) -> list[str]:
        """Markdown to parse."""
        from equipot.describe import describe_options

        module, _, name = self.arguments[0].rpartition(".")
        target: Any = getattr(importlib.import_module(module), name)
        rows = [
            [
                f"`{option.name}`",
                f"`{option.annotation}`",
                f"`{option.default}`" if option.default else "required",
                option.unit,
                option.doc,
            ]
            for option in describe_options(target)
        ]
        return _markdown_table(["option", "type", "default", "unit", "meaning"], rows)


class FieldsDirective(TextDirective):
    """``{equipot-fields}``: the table of data fields."""

    def lines(self) -> list[str]:
        """Markdown to parse."""
        from equipot.fields import FIELDS

        rows = [
            [
                f"`{field.key}`",
                field.per,
                f"`[{', '.join(str(n) for n in field.shape)}]`",
                field.dtype,
                field.unit,
                field.meaning,
            ]
            for field in FIELDS.values()
        ]
        return _markdown_table(["key", "per", "shape", "dtype", "unit", "meaning"], rows)


class DataChecksDirective(TextDirective):
    """``{equipot-data-checks} SEVERITY``: what each check of the data looks for."""

    required_arguments = 1
    optional_arguments = 0

    def lines(self) -> list[str]:
        """Markdown to parse."""
        from equipot.data.checks import CHECKS

        lines: list[str] = []
        for check in CHECKS.values():
            if check.severity == self.arguments[0]:
                lines += [f"**`{check.code}`**: {check.title}", ""]
                parts = {"law": check.law, "speaks if": check.threshold, "why": check.why, "what to do": check.advice}
                lines += [*(f"- *{name}*: {text}" for name, text in parts.items()), ""]
        return lines


class DefaultsDirective(TextDirective):
    """``{equipot-defaults}``: what a short config need not write, for one with a split and a new model."""

    optional_arguments = 0

    def lines(self) -> list[str]:
        """A table of the defaults."""
        from equipot.config._defaults import additions

        model = {"_target_": "equipot.model.NequIPGNNModel", "r_max": 5.0}
        short = {"data": {"split_dataset": {"file_path": "data.extxyz"}}, "training_module": {"model": model}}
        rows = [[f"`{path}`", f"`{_yaml(one.value)}`", one.reason] for path, one in additions(short).items()]
        return _markdown_table(["left out", "default", "why"], sorted(rows))


def _yaml(value: Any) -> str:
    """A value on one line of YAML."""
    return value if isinstance(value, str) else json.dumps(value).replace('"', "")


class PluginsDirective(TextDirective):
    """``{equipot-registered}``: every registered name of the installed plugins."""

    def lines(self) -> list[str]:
        """Markdown to parse."""
        from equipot.plugins import KINDS, PARTS, plugins

        rows = [
            [f"`{item.path}`", item.fine_kind.replace("_", " "), item.distribution, item.entry.summary]
            for kind in (*KINDS, PARTS)
            for item in plugins().available(kind)
        ]
        return _markdown_table(["name", "kind", "distribution", "summary"], rows)


class PublicNamesDirective(TextDirective):
    """``{equipot-public-names}``: the recorded public names, module by module."""

    def lines(self) -> list[str]:
        """Markdown to parse."""
        path = Path(self.env.srcdir).parent / "tests" / "public_api.json"
        self.env.note_dependency(str(path))
        modules = json.loads(path.read_text(encoding="utf-8"))["modules"]
        rows = [[f"`{name}`", ", ".join(f"`{one}`" for one in names)] for name, names in modules.items()]
        return _markdown_table(["module", "names"], rows)


class AliasesDirective(TextDirective):
    """``{equipot-aliases} DISTRIBUTION``: the names of another program that a plugin translates."""

    required_arguments = 1
    optional_arguments = 0

    def lines(self) -> list[str]:
        """Markdown to parse."""
        from equipot.plugins import plugins

        shortest: dict[tuple[str, ...], Any] = {}
        for item in plugins().available("target_aliases"):
            entry: Any = item.entry
            if item.distribution == self.arguments[0]:
                key = (entry.name.split(".")[0], entry.name.rsplit(".")[-1], entry.target, entry.instead)
                if key not in shortest or len(entry.name) < len(shortest[key].name):
                    shortest[key] = entry
        shown = {"target": "`{}`", "resolver": "`${{{}:…}}`", "section": "root key `{}`"}
        rows = [
            [
                shown[entry.form].format(entry.name),
                f"`{entry.target}`" if entry.target else "–",
                entry.instead or entry.summary,
            ]
            for entry in sorted(shortest.values(), key=lambda one: (one.form != "target", one.name))
        ]
        return _markdown_table(["there", "here", "note"], rows)


class RoomsDirective(TextDirective):
    """``{equipot-rooms}``: the floors of core from the import contract, each module with its first line."""

    def lines(self) -> list[str]:
        """Markdown to parse."""
        root = Path(self.env.srcdir).parent
        self.env.note_dependency(str(root / "pyproject.toml"))
        rows = list(_rooms(root / "pyproject.toml", root / "core" / "src" / "equipot"))
        return _markdown_table(["floor", "module", "holds"], rows)


def _rooms(contracts: Path, package: Path) -> Iterator[list[str]]:
    """Number of the floor, counted from the ground, name and first line of every module that the contract names."""
    settings = tomllib.loads(contracts.read_text(encoding="utf-8"))["tool"]["importlinter"]
    layers = next(one["layers"] for one in settings["contracts"] if one["id"] == "staircase")
    for floor, layer in zip(reversed(range(len(layers))), layers, strict=True):
        names = [name.strip(" ()") for name in layer.split(":")]
        paths = [next(package.glob(f"{name}/__init__.py"), package / f"{name}.py") for name in names]
        there = [(name, path) for name, path in zip(names, paths, strict=True) if path.exists()]
        for index, (name, path) in enumerate(there):
            doc = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
            yield ["" if index else str(floor), f"`equipot.{name}`", doc.splitlines()[0].replace("``", "`")]


class ResultsDirective(TextDirective):
    """``{equipot-results} [FOLDER]``: tables from ``docs/results/FOLDER/*.json``, each with its command."""

    def lines(self) -> list[str]:
        """Markdown to parse."""
        lines: list[str] = []
        for path in sorted(Path(self.env.srcdir, "results", *self.arguments).glob("*.json")):
            result = json.loads(path.read_text(encoding="utf-8"))
            self.env.note_dependency(str(path))
            lines += [f"**{result['title']}**", "", result["description"], ""]
            lines += _markdown_table(result["columns"], [[str(cell) for cell in row] for row in result["rows"]])
            versions = ", ".join(f"{name} {version}" for name, version in result["versions"].items())
            facts = [result["machine"], *([f"seed {result['seed']}"] if "seed" in result else []), versions]
            lines += ["", f"Made with `{result['command']}` on {'; '.join(filter(None, facts))}.", ""]
        return lines or ["No results are stored."]


class CommandDirective(SphinxDirective):
    """``{equipot-command} NAME [ACTION [ACTION]]``: the help text of a command, or of one of its actions."""

    required_arguments = 1
    optional_arguments = 2

    def run(self) -> list[nodes.Node]:
        """The help as a literal block, 90 columns wide wherever it is built."""
        from equipot._cli.main import equipot

        context = click.Context(equipot, info_name="equipot", terminal_width=90, max_content_width=90)
        for word in self.arguments:
            group: Any = context.command
            context = click.Context(group.resolve_command(context, [word])[1], info_name=word, parent=context)
        text = context.get_help()
        return [nodes.literal_block(text, text, language="text")]


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the directives."""
    app.add_directive("equipot-options", OptionsDirective)
    app.add_directive("equipot-fields", FieldsDirective)
    app.add_directive("equipot-data-checks", DataChecksDirective)
    app.add_directive("equipot-defaults", DefaultsDirective)
    app.add_directive("equipot-registered", PluginsDirective)
    app.add_directive("equipot-aliases", AliasesDirective)
    app.add_directive("equipot-rooms", RoomsDirective)
    app.add_directive("equipot-results", ResultsDirective)
    app.add_directive("equipot-command", CommandDirective)
    app.add_directive("equipot-public-names", PublicNamesDirective)
    return {"parallel_read_safe": True}
