"""Figures of the results, as PNG files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from equipot.files import atomic

if TYPE_CHECKING:
    from matplotlib.figure import Figure

BLUE, ORANGE, BLACK = "#0072B2", "#D55E00", "#222222"
"""Colours that differ for colour-blind readers too."""

_STYLE: Any = {
    "font.size": 9.0,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#dddddd",
    "axes.axisbelow": True,
    "legend.frameon": False,
}


def panels(columns: int, *, width: float = 4.6, height: float = 3.4, **options: Any) -> tuple[Figure, list[Any]]:
    """A figure with axes side by side.

    Args:
        columns: How many.
        width: Of each, inches.
        height: Inches.
        **options: As of ``Figure.subplots``.
    """
    import matplotlib as mpl
    from matplotlib.figure import Figure

    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(width * columns, height), layout="constrained")
        made = figure.subplots(1, columns, squeeze=False, **options)
    return figure, list(made[0])


def save(figure: Figure, path: Path) -> None:
    """Write a figure as PNG, atomically."""
    import matplotlib as mpl

    with mpl.rc_context(_STYLE), atomic(path) as temporary:
        figure.savefig(temporary, format="png", dpi=150)
