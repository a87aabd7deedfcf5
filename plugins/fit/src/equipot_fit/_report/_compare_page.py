"""The comparison of runs as a table of text and as a page."""

from __future__ import annotations

from collections.abc import Iterator

from equipot import __version__
from equipot.errors import printable
from equipot_fit._report._compare import rows
from equipot_fit._report._html import element, escaped, joined, paragraph, table
from equipot_fit._report._page import page
from equipot_fit._report._section import Data

WIDTH = 80
_COLUMN = 14
_TITLE = 30


def text(found: Data, *, bold: bool = False) -> str:
    """Tables of at most 80 columns; the best of a row is marked with a star, on terminals also bold.

    Args:
        found: Of ``compared``.
        bold: Whether escape codes may be written.
    """
    return "\n".join(_lines(found, bold=bold))


def _lines(found: Data, *, bold: bool) -> Iterator[str]:
    names = [printable(run["name"]) for run in found["runs"]]
    at_once = (WIDTH - _TITLE) // (_COLUMN + 2)
    for first in range(0, len(names), at_once):
        chosen = range(first, min(first + at_once, len(names)))
        if first:
            yield ""
        yield (" " * _TITLE + "".join(f"  {_short(names[index], _COLUMN):>{_COLUMN}}" for index in chosen)).rstrip()
        for title, cells, best in rows(found):
            shown = "".join(f"  {_marked(cells[index], index == best, bold=bold)}" for index in chosen)
            yield f"{_short(title, _TITLE):<{_TITLE}}{shown}".rstrip()
    for line in (*found["differences"], *_problems(found)):
        yield f"note: {printable(line)}"


def _marked(cell: str, best: bool, *, bold: bool) -> str:  # noqa: FBT001 - one of two cells
    shown = _short(f"{'*' if best else ''}{printable(cell)}", _COLUMN)
    filled = f"{shown:>{_COLUMN}}"
    return f"\x1b[1m{filled}\x1b[0m" if best and bold else filled


def _short(name: str, width: int) -> str:
    return name if len(name) <= width else f"…{name[1 - width :]}"


def _problems(found: Data) -> list[str]:
    return [f"{run['name']}: {run['problem']}" for run in found["runs"] if run["problem"]]


def html(found: Data) -> str:
    """A page with the same table.

    Args:
        found: Of ``compared``.
    """
    names = [run["name"] for run in found["runs"]]
    lines = [
        (title, *(element("span", cell, class_="best") if index == best else cell for index, cell in enumerate(cells)))
        for title, cells, best in rows(found)
    ]
    parts: list[object] = [table(("", *names), lines)]
    parts.append(paragraph("A star marks the best of a row, where the runs have the same set."))
    if notes := [*found["differences"], *_problems(found)]:
        items = joined(element("li", note) for note in notes)
        parts.insert(0, element("div", element("ul", items), class_="warning"))
    lead = f"{len(names)} runs: {', '.join(names)}"
    return page(
        "Comparison of runs", lead, [("runs", "Runs", escaped(joined(parts)))], f"Made by equipot {__version__}."
    )
