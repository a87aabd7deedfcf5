"""Averages of a run, and its figure."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from equipot_simulate._figures import BLACK, BLUE, panels, save

Log = dict[str, list[float | None]]


def summary(log: Log) -> dict[str, Any]:
    """Averages over the second half of the log, and the drift of the conserved energy over all of it.

    Args:
        log: By column.
    """
    rows = len(log["step"])
    if rows < 2:
        return {}
    found: dict[str, Any] = {"averaged_from_ps": log["time_ps"][rows // 2], "averages": {}}
    for name in ("temperature_k", "potential_energy_ev", "total_energy_ev", "pressure_gpa", "volume_a3"):
        values = [one for one in log[name][rows // 2 :] if one is not None]
        if values:
            found["averages"][name] = {"mean": float(np.mean(values)), "standard_deviation": float(np.std(values))}
    pairs = [(t, d) for t, d in zip(log["time_ps"], log["drift_mev_per_atom"], strict=True) if d is not None]
    if len(pairs) > 2:
        times, drifts = np.array(pairs, dtype=float).T
        found["drift_mev_per_atom_per_ps"] = float(np.polyfit(times, drifts, 1)[0])
        found["largest_drift_mev_per_atom"] = float(np.abs(drifts).max())
    return found


def draw(log: Log, path: Path, title: str) -> None:
    """Temperature, energy and, where there is one, the pressure along the run.

    Args:
        log: By column.
        path: PNG to write.
        title: Of the figure.
    """
    has_drift = any(one is not None for one in log["drift_mev_per_atom"])
    energy = ("drift_mev_per_atom", "conserved energy, change in meV/atom")
    shown = [("temperature_k", "temperature, K")]
    shown.append(energy if has_drift else ("potential_energy_ev", "potential energy, eV"))
    if any(one is not None for one in log["pressure_gpa"]):
        shown.append(("pressure_gpa", "pressure, GPa"))
    figure, axes = panels(len(shown))
    for one, (name, label) in zip(axes, shown, strict=True):
        pairs = [(t, v) for t, v in zip(log["time_ps"], log[name], strict=True) if v is not None]
        times, values = np.array(pairs, dtype=float).T
        one.plot(times, values, color=BLUE, linewidth=0.9)
        if name != "drift_mev_per_atom":
            mean = float(values[len(values) // 2 :].mean())
            one.axhline(mean, color=BLACK, linewidth=0.7, linestyle=":", label=f"mean of the second half: {mean:.6g}")
            one.legend()
        one.set_xlabel("time, ps")
        one.set_ylabel(label)
    figure.suptitle(title)
    save(figure, path)
