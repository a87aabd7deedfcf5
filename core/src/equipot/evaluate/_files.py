"""Files about an evaluation: frames with predictions, a table by frame, and parity plots."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from equipot.evaluate._evaluation import Compared, EvaluatedFrame, Evaluation, error_numbers
from equipot.fields import FIELDS, LABELS, mask_key
from equipot.files import atomic
from equipot.graph import Graph
from equipot.quantities import ENERGY, Reported
from equipot.units import energy_power

if TYPE_CHECKING:
    from ase import Atoms

    from equipot.evaluate._uncertainties import Uncertainties

WRITTEN = {"total_energy": "energy", "forces": "forces", "stress": "stress"}
"""Labels in files of predictions; their keys are ``label_NAME`` and ``equipot_NAME``. Others that are evaluated are
there under their own names."""


def write_predictions(found: Evaluation, path: str | Path) -> None:
    """Write all frames as extended XYZ, with labels and predictions in eV and Å, atomically.

    Labels are under ``label_energy``, ``label_forces`` and ``label_stress``, predictions under ``equipot_energy``,
    ``equipot_forces`` and ``equipot_stress``; other labels that were evaluated are under ``label_NAME`` and
    ``equipot_NAME`` in their own units. A label of an atom that has none is NaN. Stress is positive under tension.
    ``source_file`` and ``source_frame`` (from 0) say where a frame comes from.

    Args:
        found: Of ``evaluate``.
        path: File to write.

    Raises:
        ArtifactError: If it cannot be written.
    """
    from ase.io.extxyz import write_xyz

    written = {**WRITTEN, **{label: label for label in found.contract if label in LABELS and label not in WRITTEN}}
    frames = (_atoms(one, found.energy_in_ev, written) for one in found.frames)
    with atomic(path) as temporary, temporary.open("w", encoding="utf-8") as file:
        for frame in frames:
            write_xyz(file, [frame], write_results=False)


def _atoms(one: EvaluatedFrame, energy_in_ev: float, written: Mapping[str, str]) -> Atoms:
    from ase import Atoms

    frame = one.frame
    atoms = Atoms(
        numbers=one.numbers.numpy(),
        positions=frame["positions"].numpy(),
        cell=frame["cell"][0].numpy(),
        pbc=frame["pbc"][0].numpy(),
    )
    if one.group:
        atoms.info["config_type"] = one.group
    atoms.info |= {"source_file": one.file, "source_frame": one.index}
    for prefix, values in (("label", frame), ("equipot", one.predictions)):
        for label, name in written.items():
            if (value := _whole(values, label)) is not None:
                _add(atoms, f"{prefix}_{name}", label, value * energy_in_ev ** energy_power(FIELDS[label].unit))
    return atoms


def _whole(values: Graph, field: str) -> Any:
    """The numbers of a field, NaN where there is none; None if there is none at all."""
    if field not in values:
        return None
    rows = values[field].detach().to(torch.float64).numpy()
    present = values.get(mask_key(field), torch.ones(len(rows), dtype=torch.bool)).numpy()
    if not present.any():
        return None
    return np.where(present.reshape(-1, *[1] * (rows.ndim - 1)), rows, np.nan)


def _add(atoms: Atoms, name: str, label: str, value: Any) -> None:
    if FIELDS[label].per == "atom":
        atoms.arrays[name] = value
    else:
        atoms.info[name] = float(value[0]) if value.ndim == 1 else value[0]


def write_csv(found: Evaluation, path: str | Path) -> None:
    """Write a table with one row for each frame, atomically; names of columns end in the unit.

    Args:
        found: Of ``evaluate``.
        path: File to write.

    Raises:
        ArtifactError: If it cannot be written.
    """
    rows = list(_rows(found))
    names = dict.fromkeys(name for row in rows for name in row)
    with atomic(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        table = csv.DictWriter(file, list(names), restval="", lineterminator="\n")
        table.writeheader()
        table.writerows(rows)


def _rows(found: Evaluation) -> Iterator[dict[str, Any]]:
    from ase.formula import Formula
    from ase.symbols import Symbols

    left = found.energy_left_over()
    values = {one.name: _by_frame(one, one.predictions - one.labels) for one in found.compared}
    weights = {one.name: {} if one.weights is None else _by_frame(one, one.weights) for one in found.compared}
    quantities = {one.name: one.quantity for one in found.compared}
    for index, one in enumerate(found.frames):
        row: dict[str, Any] = {
            "file": one.file,
            "frame": one.index,
            "config_type": one.group,
            "isolated_atom": int(one.isolated),
            "formula": Formula.from_list(list(Symbols(one.numbers.numpy()))).format("metal"),
            "n_atoms": len(one.numbers),
        }
        for prefix, held in (("label", one.frame), ("prediction", one.predictions)):
            energy = _whole(held, "total_energy")
            row[f"energy_{prefix}_ev"] = "" if energy is None else float(energy[0]) * found.energy_in_ev
        for name, errors in values.items():
            if index in errors:
                row |= _columns(quantities[name], errors[index])
            if index in weights[name]:
                row[f"{name}_weight"] = float(weights[name][index].mean())
        if index in left:
            row["per_atom_energy_error_without_composition_mev"] = left[index]
        yield row


def _columns(quantity: Reported, errors: torch.Tensor) -> dict[str, float]:
    if quantity.name == ENERGY:
        return {quantity.number("error"): float(errors[0])}
    numbers = error_numbers(errors)
    return {quantity.number(kind): numbers[kind] for kind in ("rmse", "mae", "max")}


def _by_frame(one: Compared, numbers: torch.Tensor) -> dict[int, torch.Tensor]:
    """The numbers (one for each value) of each frame, by its index."""
    frames, counts = one.frames.unique_consecutive(return_counts=True)
    return dict(zip(frames.tolist(), numbers.split(counts.tolist()), strict=True))


def parity_plot(compared: Sequence[Compared], path: Path, title: str) -> None:
    """Predictions against labels, one panel per quantity, as an image file.

    Args:
        compared: ``Evaluation.compared``.
        path: Image to write, atomically; its suffix says whether it is PNG or PDF.
        title: Title above the panels.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.2 * len(compared), 4.2), layout="constrained")
    axes: Any = figure.subplots(1, len(compared), squeeze=False)[0]
    for axis, one in zip(axes, compared, strict=True):
        labels, predictions = one.labels.numpy(), one.predictions.numpy()
        axis.scatter(labels, predictions, s=6, alpha=0.4, linewidths=0)
        ends = [min(labels.min(), predictions.min()), max(labels.max(), predictions.max())]
        axis.plot(ends, ends, color="black", linewidth=0.8)
        axis.locator_params(axis="x", nbins=4)
        axis.set_xlabel(f"label, {one.quantity.unit}")
        axis.set_ylabel(f"prediction, {one.quantity.unit}")
        errors = one.errors()
        numbers = f"RMSE {errors['rmse']:.3g}, MAE {errors['mae']:.3g} {one.quantity.unit}"
        axis.set_title(f"{one.name.replace('_', ' ')}: {numbers}", fontsize=9)
    figure.suptitle(title)
    with atomic(path) as temporary:
        figure.savefig(temporary, dpi=150)


def calibration_plot(found: Uncertainties, path: Path, title: str) -> None:
    """The share of errors within intervals of standard deviations, one panel per quantity and one line per file.

    Args:
        found: ``Evaluation.uncertainties``, with at least one quantity.
        path: Image to write, atomically; its suffix says whether it is PNG or PDF.
        title: Title above the panels.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.2 * len(found.units), 4.2), layout="constrained")
    axes: Any = figure.subplots(1, len(found.units), squeeze=False)[0]
    for axis, name in zip(axes, found.units, strict=True):
        axis.plot([0.0, 1.0], [0.0, 1.0], color="black", linewidth=0.8)
        for file, calibrations in found.by_file.items():
            if name in calibrations:
                levels, shares = zip(*calibrations[name].curve, strict=True)
                label = f"{Path(file).name}, rms z {calibrations[name].rms_z:.2f}"
                axis.plot(levels, shares, marker="o", markersize=3, label=label)
        axis.set_xlabel("share expected of normal errors")
        axis.set_ylabel("share of errors within the interval")
        axis.legend(fontsize=8, frameon=False)
        axis.set_title(name.replace("_", " "), fontsize=9)
    figure.suptitle(title)
    with atomic(path) as temporary:
        figure.savefig(temporary, dpi=150)
