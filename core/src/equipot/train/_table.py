"""The table that a run ends with: errors in meV/atom, meV/Å and meV/Å³."""

from __future__ import annotations

import io
from collections.abc import Mapping

from equipot.quantities import REPORTED, in_mev
from equipot.units import Units

KINDS = (("MAE", "mae"), ("RMSE", "rmse"))


def results_table(results: Mapping[str, Mapping[str, float]], units: Units) -> str:
    """Errors of each validation and test set, as text.

    Args:
        results: Stage to logged metrics (``val0_epoch/forces_mae`` and so on).
        units: Unit system of the data; energies are converted to meV.

    Returns:
        The table; empty if nothing was evaluated.
    """
    from rich.console import Console
    from rich.table import Table

    merged: dict[str, float] = {}
    for stage in ("train", "val", "test"):
        merged.update(results.get(stage, {}))
    sets = list(dict.fromkeys(key.split("_epoch/")[0] for key in merged if key.startswith(("val", "test"))))
    columns = [
        (f"{one.title} {label}\n{one.unit}", f"{one.name}_{kind}")
        for one in REPORTED
        for label, kind in KINDS
        if any(f"{name}_epoch/{one.name}_{kind}" in merged for name in sets)
    ]
    if not columns:
        return ""
    table = Table(title="Errors")
    table.add_column("set")
    for heading, _ in columns:
        table.add_column(heading, justify="right")
    factor = in_mev(units)
    for name in sets:
        values = [merged.get(f"{name}_epoch/{key}") for _, key in columns]
        table.add_row(name, *("" if value is None else f"{value * factor:.4g}" for value in values))
    text = io.StringIO()
    Console(file=text, width=118, color_system=None).print(table)
    return text.getvalue().rstrip("\n")
