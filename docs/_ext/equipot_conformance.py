"""Directives that render the checks of the conformance kit and its catch matrix."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from docutils import nodes
from equipot_docs import TextDirective

if TYPE_CHECKING:
    from sphinx.application import Sphinx

    from equipot_testing._checklist import Check


class ChecksDirective(TextDirective):
    """``{equipot-checks} dotted.Class``: its own checks, with law, tolerance, reason and common mistakes."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """A definition list with an anchor for each check."""
        from equipot_testing._checklist import DECLARATION

        kit = _load(self.arguments[0])
        items = []
        for check in kit.checks():
            if check.home == getattr(kit, "kind", DECLARATION):
                item = nodes.definition_list_item()
                item += nodes.term("", "", nodes.literal(text=check.name), ids=[check.anchor])
                item += nodes.definition("", *self.parsed(_check_lines(check)))
                items.append(item)
        return [nodes.definition_list("", *items)]


def _check_lines(check: Check) -> list[str]:
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
    return lines


class CatchMatrixDirective(TextDirective):
    """``{equipot-catch-matrix}``: the broken toys and what the kit finds in them."""

    def lines(self) -> list[str]:
        """A table from ``reference/catch_matrix.json``."""
        path = Path(self.env.srcdir) / "reference/catch_matrix.json"
        self.env.note_dependency(str(path))
        table = json.loads(path.read_text(encoding="utf-8"))
        lines = ["| toy | fault | caught by | also fails |", "| --- | --- | --- | --- |"]
        for row in table["rows"]:
            first, *others = row["failing"]
            fails = ", ".join(f"`{name}`" for name in others)
            lines.append(f"| {row['toy']} | {row['fault']} | `{first}` | {fails} |")
        lines += ["", f"{len(table['rows'])} toys, kit {table['kit']}. Made with `{table['command']}`."]
        return lines


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
