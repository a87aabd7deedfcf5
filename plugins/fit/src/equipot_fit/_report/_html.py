"""Pieces of HTML; every text in them is escaped, except for what is ``Markup``."""

from __future__ import annotations

import html
from collections.abc import Collection, Iterable, Sequence

Cell = object


class Markup(str):
    """HTML that is safe as it is."""

    __slots__ = ()


def escaped(value: object) -> Markup:
    """A text as HTML; what is ``Markup`` stays as it is.

    Example:
        >>> escaped("<script>")
        '&lt;script&gt;'
    """
    return value if isinstance(value, Markup) else Markup(html.escape(str(value)))


def element(tag: str, content: object = "", **attributes: str) -> Markup:
    """An element; names of attributes may end in an underscore, as ``class_``."""
    given = "".join(f' {name.rstrip("_")}="{html.escape(value)}"' for name, value in attributes.items())
    return Markup(f"<{tag}{given}>{escaped(content)}</{tag}>")


def joined(parts: Iterable[object]) -> Markup:
    """Pieces one after the other."""
    return Markup("\n".join(escaped(part) for part in parts))


def paragraph(text: object) -> Markup:
    """A paragraph."""
    return element("p", text)


def table(
    header: Sequence[str], rows: Iterable[Sequence[Cell]], *, texts: Collection[str] = (), caption: str = ""
) -> Markup:
    """A table whose first column heads the rows; wide ones scroll by themselves.

    Args:
        header: Titles of the columns.
        rows: Cells; a float is written with four digits.
        texts: Titles of columns with text; the first one always is, others hold numbers and are aligned right.
        caption: What is in it.
    """
    kinds = ["" if index == 0 or title in texts else ' class="number"' for index, title in enumerate(header)]
    heads = "".join(f'<th scope="col"{kind}>{escaped(one)}</th>' for one, kind in zip(header, kinds, strict=True))
    lines = [f"<thead><tr>{heads}</tr></thead><tbody>"]
    for row in rows:
        first, *others = (cell(one) for one in row)
        rest = "".join(f"<td{kind}>{one}</td>" for one, kind in zip(others, kinds[1:], strict=True))
        lines.append(f'<tr><th scope="row">{first}</th>{rest}</tr>')
    about = element("caption", caption) if caption else ""
    return Markup(f'<div class="scroll"><table>{about}{"".join(lines)}</tbody></table></div>')


def cell(value: object) -> Markup:
    """A value in a table: nothing for None, and numbers with four digits."""
    if value is None:
        return Markup("")
    return escaped(number(value) if isinstance(value, float) else value)


def number(value: float) -> str:
    """A number with four digits, and without an exponent if it is of usual size.

    Example:
        >>> number(1234.5), number(0.01234567), number(1.5e-9)
        ('1234', '0.01235', '1.5e-09')
    """
    return f"{value:.0f}" if 1000.0 <= abs(value) < 1e7 else f"{value:.4g}"


def code(text: str) -> Markup:
    """Lines of a program or commands."""
    return Markup(f"<pre><code>{escaped(text)}</code></pre>")


def gallery(figures: Iterable[object]) -> Markup:
    """Figures in rows where there is room."""
    return Markup(f'<div class="gallery">{joined(figures)}</div>')


def details(summary: str, content: object) -> Markup:
    """What is folded on a screen; printed in full."""
    return Markup(f"<details><summary>{escaped(summary)}</summary>{escaped(content)}</details>")
