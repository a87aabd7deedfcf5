"""The demo's one-page summary: numbers, parity plot and energy along the trajectory."""

from __future__ import annotations

import base64
import html
import io
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import matplotlib as mpl

mpl.use("Agg")
import matplotlib.pyplot as plt

if TYPE_CHECKING:
    from pathlib import Path

_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>equipot demo</title><style>
body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #222 }}
table {{ border-collapse: collapse; margin: 1rem 0 }}
td, th {{ border-bottom: 1px solid #ccc; padding: .3rem 1rem .3rem 0; text-align: left }}
img {{ max-width: 100% }}
</style></head><body>
<h1>A potential for ethanol</h1>
<p>A NequIP-like model with ZBL, trained on {n_train_note} of PBE energies and forces,
packaged, compiled and run with ASE.</p>
<h2>Errors on the test frames</h2>{errors}
<img alt="Parity plot of energies and forces" src="data:image/png;base64,{parity}">
<h2>Relaxation and molecular dynamics</h2>{dynamics}
<img alt="Total energy along the NVE trajectory" src="data:image/png;base64,{energy}">
<h2>Time</h2>{seconds}
<p>equipot {equipot}, torch {torch}</p>
</body></html>
"""


def write(
    out: Path,
    *,
    metrics: dict[str, Any],
    relaxation: dict[str, Any],
    dynamics: dict[str, Any],
    seconds: dict[str, float],
    peak_mib: float,
    n_train: int,
) -> None:
    """Write ``summary.html`` with all pictures inside.

    Args:
        out: Folder that holds ``parity.png``.
        metrics: As written by ``equipot eval``.
        relaxation: Steps and largest force, eV/Å.
        dynamics: Times in ps, energies in meV/atom, drift, fluctuation and time per step.
        seconds: Wall time of each stage.
        peak_mib: Largest resident memory of any stage, MiB.
        n_train: Number of training frames.
    """
    errors = {
        "frames": metrics["n_frames"],
        "energy MAE, meV/atom": f"{metrics['per_atom_energy_mae_mev']:.2f}",
        "force MAE, meV/Å": f"{metrics['forces_mae_mev_per_angstrom']:.1f}",
    }
    motion = {
        "relaxation steps": relaxation["steps"],
        "largest force left, eV/Å": f"{relaxation['largest_force']:.4f}",
        "NVE energy drift, meV/atom/ps": f"{dynamics['drift']:+.4f}",
        "fluctuation of the total energy, meV/atom": f"{dynamics['fluctuation']:.4f}",
        "time per MD step, ms": f"{dynamics['ms_per_step']:.2f}",
    }
    timing = {f"{name}, s": f"{value:.1f}" for name, value in seconds.items()}
    timing["peak memory, MiB"] = f"{peak_mib:.0f}"
    page = _PAGE.format(
        n_train_note=f"{n_train} frames",
        errors=_table(errors),
        dynamics=_table(motion),
        seconds=_table(timing),
        parity=base64.b64encode((out / "parity.png").read_bytes()).decode(),
        energy=base64.b64encode(_energy_plot(dynamics)).decode(),
        equipot=version("equipot"),
        torch=version("torch"),
    )
    (out / "summary.html").write_text(page, encoding="utf-8")


def _table(rows: dict[str, object]) -> str:
    cells = "".join(
        f"<tr><th>{html.escape(name)}</th><td>{html.escape(str(value))}</td></tr>" for name, value in rows.items()
    )
    return f"<table>{cells}</table>"


def _energy_plot(dynamics: dict[str, Any]) -> bytes:
    figure, axes = plt.subplots(figsize=(7, 2.6), layout="constrained")
    first = dynamics["energies"][0]
    axes.plot(dynamics["times_ps"], [energy - first for energy in dynamics["energies"]], lw=1)
    axes.set(xlabel="time / ps", ylabel="ΔE / meV per atom", title="Total energy, NVE")
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=120)
    plt.close(figure)
    return buffer.getvalue()
