"""Directives that render the checks of the conformance kit and its catch matrix."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from docutils import nodes
from docutils.statemachine import StringList
from sphinx.util.docutils import SphinxDirective

if TYPE_CHECKING:
    from sphinx.application import Sphinx

    from equipot.testing.checklist import Check


class ChecksDirective(SphinxDirective):
    """``{equipot-checks} dotted.Class``: every check with law, tolerance, reason and common mistakes.

    With the option ``except`` another class's checks are left out.
    """

    required_arguments = 1
    option_spec = {"except": str}  # noqa: RUF012 - as docutils wants it

    def run(self) -> list[nodes.Node]:
        """A definition list with an anchor for each check."""
        from equipot.testing.report import anchor

        kit = _load(self.arguments[0])
        known = {check.law for check in _load(self.options["except"]).checks()} if "except" in self.options else set()
        items = []
        for check in kit.checks():
            if check.law not in known:
                item = nodes.definition_list_item(ids=[anchor(kit.kind, check.name)])
                item += nodes.term("", "", nodes.literal(text=check.name))
                item += nodes.definition("", *self._parsed(check))
                items.append(item)
        return [nodes.definition_list("", *items)]

    def _parsed(self, check: Check) -> list[nodes.Node]:
        lines = [
            f"**{_markdown(check.law)}**",
            "",
            f"- *Tolerance:* {_markdown(check.tolerance)}",
            f"- *Why:* {_markdown(check.why)}",
            f"- *Where it goes wrong:* {_markdown(check.goes_wrong)}",
        ]
        if check.after:
            lines.append(f"- *Judged only where these hold:* {', '.join(f'`{name}`' for name in check.after)}.")
        if check.slow or check.starts_python:
            lines.append("- *Marked `slow` in pytest.*")
        container = nodes.container()
        self.state.nested_parse(StringList(lines, source="generated"), 0, container)
        return list(container.children)


class CatchMatrixDirective(SphinxDirective):
    """``{equipot-catch-matrix}``: the broken toys and what the kit finds in them."""

    def run(self) -> list[nodes.Node]:
        """A table from ``reference/catch_matrix.json``."""
        path = Path(self.env.srcdir) / "reference/catch_matrix.json"
        self.env.note_dependency(str(path))
        table = json.loads(path.read_text(encoding="utf-8"))
        lines = ["| toy | fault | caught by | fails too |", "| --- | --- | --- | --- |"]
        for row in table["rows"]:
            first, *others = row["failing"]
            fails = ", ".join(f"`{name}`" for name in others)
            lines.append(f"| {row['toy']} | {row['fault']} | `{first}` | {fails} |")
        lines += ["", f"{len(table['rows'])} toys, kit {table['kit']}. Made with `{table['command']}`."]
        container = nodes.container()
        self.state.nested_parse(StringList(lines, source="generated"), 0, container)
        return list(container.children)


def _load(path: str) -> Any:
    module, _, name = path.rpartition(".")
    return getattr(importlib.import_module(module), name)


def _markdown(text: str) -> str:
    return text.replace("``", "`").replace("[", "\\[")


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the directives."""
    app.add_directive("equipot-checks", ChecksDirective)
    app.add_directive("equipot-catch-matrix", CatchMatrixDirective)
    return {"parallel_read_safe": True}
