"""The table printed at the end of a run: errors in meV/atom, meV/Å, meV/Å³ and the units of other labels."""

from __future__ import annotations

import io
from collections.abc import Mapping

from equipot.quantities import REPORTED
from equipot.units import Units

KINDS = ("mae", "rmse")
"""The kinds of errors that are shown."""


def results_table(results: Mapping[str, Mapping[str, float]], units: Units) -> str:
    """Errors of each validation and test set, as text; empty if nothing was evaluated.

    ``results`` holds the logged metrics of each stage, such as ``val0_epoch/forces_mae``, in the data's units.
    """
    from rich.console import Console
    from rich.table import Table

    logged = {key: value for stage in ("train", "val", "test") for key, value in results.get(stage, {}).items()}
    sets = list(dict.fromkeys(key.split("_epoch/")[0] for key in logged if key.startswith(("val", "test"))))
    columns = {f"{one.name}_{kind}": (one, kind) for one in REPORTED for kind in KINDS}
    keys = [key for key in columns if any(f"{name}_epoch/{key}" in logged for name in sets)]
    if not keys:
        return ""
    table = Table("set", title="Errors")
    for one, kind in (columns[key] for key in keys):
        table.add_column(f"{one.title} {kind.upper()}\n{one.unit}", justify="right")
    for name in sets:
        values = {key: logged.get(f"{name}_epoch/{key}") for key in keys}
        shown = (
            "" if value is None else f"{value * columns[key][0].factor(units):.4g}" for key, value in values.items()
        )
        table.add_row(name, *shown)
    text = io.StringIO()
    Console(file=text, width=118, color_system=None).print(table)
    return text.getvalue().rstrip("\n")
