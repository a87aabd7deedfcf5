"""Pictures for the page, made with matplotlib: as SVG, or as PNG where that is smaller."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from equipot_fit._report._html import Markup, element

if TYPE_CHECKING:
    from matplotlib.figure import Figure

BLUE, ORANGE, RED, PURPLE, BLACK = "#0072B2", "#D55E00", "#A3003D", "#7A4A9B", "#222222"
"""Colours that differ for colour-blind readers too, and from white by 5 : 1 or more (orange 3.8 : 1, in lines only);
lines also differ by dashes or markers."""

LARGE_SVG = 24_000
"""Bytes from which a PNG is tried as well."""

_STYLE: Any = {
    "font.family": ["DejaVu Sans"],
    "font.size": 9.0,
    "axes.titlesize": 9.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#dddddd",
    "grid.linewidth": 0.6,
    "axes.axisbelow": True,
    "legend.frameon": False,
    "legend.fontsize": 8.5,
    "svg.fonttype": "none",
    "svg.hashsalt": "equipot",
    "path.simplify_threshold": 0.3,
}


@contextmanager
def style() -> Iterator[None]:
    """Draw in the style of the page inside the block."""
    import matplotlib as mpl

    with mpl.rc_context(_STYLE):
        yield


def panel(width: float = 4.2, height: float = 3.2) -> tuple[Figure, Any]:
    """A figure with one pair of axes.

    Args:
        width: Inches; 4.2 is readable on a telephone.
        height: Inches.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height))  # a layout engine would take as long as the drawing
    figure.subplots_adjust(left=0.72 / width, right=1.0 - 0.12 / width, bottom=0.46 / height, top=1.0 - 0.28 / height)
    return figure, figure.subplots()


def logarithmic(axis: Any) -> None:
    """Plain numbers at 1, 2 and 5 of each power of ten along a logarithmic axis; a few suffice.

    Args:
        axis: ``axes.xaxis`` or ``axes.yaxis``.
    """
    from matplotlib.ticker import LogLocator, NullFormatter

    low, high = sorted(axis.get_view_interval())
    few = high / max(low, 1e-300) > 100.0
    axis.set_major_locator(LogLocator(subs=(1.0,) if few else (1.0, 2.0, 5.0), numticks=8))
    axis.set_major_formatter(lambda value, _: f"{value:g}")
    axis.set_minor_formatter(NullFormatter())


def picture(figure: Figure, alt: str, caption: object = "") -> Markup:
    """A figure of the page.

    Args:
        figure: The picture.
        alt: What it shows, for readers who do not see it.
        caption: Text below it.
    """
    width = round(figure.get_size_inches()[0] * 96)
    image = Markup(f'<img src="{encoded(figure)}" alt="{element("i", alt)[3:-4]}" width="{width}" loading="lazy">')
    return Markup(f"<figure>{image}{element('figcaption', caption) if caption else ''}</figure>")


def encoded(figure: Figure) -> str:
    """A ``data:`` address that holds the picture."""
    vector = _svg(figure)
    if len(vector) > LARGE_SVG:
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png", dpi=144)
        if len(buffer.getvalue()) * 4 / 3 < len(vector):
            return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"
    return f"data:image/svg+xml,{vector}"


def _svg(figure: Figure) -> str:
    """The figure as an SVG that can stand in an address."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    text = buffer.getvalue().decode()
    text = re.sub(r"<\?xml.*?\?>|<!DOCTYPE.*?>|<!--.*?-->|<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = text.replace("'DejaVu Sans'", "'DejaVu Sans', Verdana, sans-serif")  # as wide where it is missing
    text = re.sub(r"\s+", " ", text).replace("> <", "><").replace("'", "&apos;").replace('"', "'")
    return quote(text, safe=" ='/:;,.()!*~$?@[]{}|^_+-")


def density(axes: Any, counts: Any, edges: tuple[Any, Any]) -> None:
    """Draw how many values lie in each square, on a logarithmic scale, with a bar that says what shades mean.

    Args:
        axes: Where.
        counts: Shape [n_x, n_y].
        edges: Of the squares along both axes; equally wide.
    """
    import numpy as np
    from matplotlib.colors import LogNorm

    found = np.ma.masked_less_equal(np.asarray(counts, dtype=float).T, 0.0)
    norm = LogNorm(1.0, max(2.0, float(found.max())))
    extent = (edges[0][0], edges[0][-1], edges[1][0], edges[1][-1])
    shades = axes.imshow(
        found, origin="lower", extent=extent, aspect="auto", interpolation="none", cmap=_shades(), norm=norm, zorder=2
    )
    bar = axes.figure.colorbar(shades, ax=axes, pad=0.02, fraction=0.10, shrink=0.98, aspect=28)
    most = int(norm.vmax or 2)
    margin = 0.12 + 0.08 * max(len(str(most)) - 2, 0)  # inches: long numbers would be cut off
    axes.figure.subplots_adjust(right=1.0 - margin / axes.figure.get_size_inches()[0])
    bar.set_ticks([1, most], labels=["1", str(most)])
    bar.set_label("values per square", labelpad=-10)
    bar.ax.minorticks_off()


def _shades() -> Any:
    """From a blue that is visible on white to black."""
    from matplotlib.colors import LinearSegmentedColormap

    return LinearSegmentedColormap.from_list("density", ["#4a98c9", "#2676b8", "#08519c", "#021f45", "#000000"])
