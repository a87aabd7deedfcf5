"""Standard deviations that a model predicts, compared with its errors and between files.

Which outputs are standard deviations, and of what, is declared: ``FieldEntry.std_of``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from equipot.evaluate._calibration import Array, Calibration, auroc
from equipot.fields import FIELDS, row_shape

if TYPE_CHECKING:
    from equipot.evaluate._evaluation import Compared, EvaluatedFrame, Evaluation


@dataclass(frozen=True)
class Uncertainties:
    """What the standard deviations of a model are worth."""

    by_file: dict[str, dict[str, Calibration]]
    """By file and quantity, as ``forces``; without the quantities that a file has no labels of."""
    units: dict[str, str]
    """Of errors and standard deviations, by quantity."""
    auroc: dict[str, dict[str, float]]
    """For each file but the first, by standard deviation: how well it tells a frame from those of the first file."""

    def to_dict(self) -> dict[str, Any]:
        """In plain containers."""
        by_file = {
            file: {name: {**one.to_dict(), "unit": self.units[name]} for name, one in found.items()}
            for file, found in self.by_file.items()
        }
        return {"by_file": by_file, "auroc": self.auroc}

    def lines(self) -> list[str]:
        """Tables for a terminal, at most 80 characters wide."""
        rows = [
            (
                Path(file).name[-14:], name, f"{one.rmse:.4g}", f"{one.rms_std:.4g}", f"{one.rms_z:.2f}",
                f"{one.within_1:.0%}", f"{one.within_2:.0%}", self.units[name],
            )
            for file, quantities in self.by_file.items()
            for name, one in quantities.items()
        ]  # fmt: skip
        found = []
        if rows:
            found.append("uncertainties (right are rms z 1, and 68 % within 1 and 95 % within 2 std)")
            found += _table([("file", "quantity", "RMSE", "std", "rms z", "in 1", "in 2", "unit"), *rows])
        if self.auroc:
            first = Path(next(iter(self.by_file))).name[-20:]
            keys = list(next(iter(self.auroc.values())))
            shown = [(Path(file).name[-14:], *(f"{one[key]:.3f}" for key in keys)) for file, one in self.auroc.items()]
            found.append(f"AUROC against {first} (1: all uncertainties are larger, 0.5: alike)")
            found += _table([("file", *keys), *shown])
        return found


def _table(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def standard_deviations() -> list[str]:
    """The declared fields that are standard deviations of others."""
    return [key for key, field in FIELDS.items() if field.std_of]


def uncertainties_of(found: Evaluation) -> Uncertainties | None:
    """Compare standard deviations with errors, and those of each file with those of the first.

    Args:
        found: An evaluation with all frames.

    Returns:
        None if the model predicts no standard deviations.
    """
    frames = found.frames
    keys = [key for key in standard_deviations() if frames and all(key in one.predictions for one in frames)]
    if not keys:
        return None
    files = list(dict.fromkeys(one.file for one in frames))
    file_of = torch.tensor([files.index(one.file) for one in frames])
    by_file: dict[str, dict[str, Calibration]] = {file: {} for file in files}
    units = {}
    for one in found.compared:
        key = next((key for key in keys if FIELDS[key].std_of == one.quantity.label), None)
        if key is None or FIELDS[key].per != FIELDS[one.quantity.label].per:
            continue
        units[one.name] = one.quantity.unit
        errors, stds = (one.predictions - one.labels).numpy(), _of_values(one, key, frames, found.factor(one))
        place = file_of[one.frames].numpy()
        for number in np.unique(place).tolist():
            chosen = place == number
            by_file[files[number]][one.name] = Calibration.of(errors[chosen], stds[chosen])
    scores = {key: _by_frame(key, frames) for key in keys}
    counted = ~np.array([one.isolated for one in frames])
    sides = [counted & (file_of.numpy() == number) for number in range(len(files))]
    separated = {
        file: {key: auroc(score[sides[0]], score[side]) for key, score in scores.items()}
        for file, side in zip(files[1:], sides[1:], strict=True)
        if side.any() and sides[0].any()
    }
    return Uncertainties(by_file, units, separated)


def _of_values(one: Compared, key: str, frames: Sequence[EvaluatedFrame], factor: float) -> Array:
    """The standard deviation of each compared value, in its unit."""
    width = int(np.prod(row_shape(one.quantity.label), dtype=int))
    rows = [frame.predictions[key].reshape(frame.predictions[key].shape[0], -1).expand(-1, width) for frame in frames]
    sizes = torch.tensor([len(part) for part in rows])
    row = (sizes.cumsum(0) - sizes)[one.frames]
    if one.atoms is not None:
        row = row + one.atoms
    values = factor * torch.cat(rows)[row, torch.arange(len(row)) % width]
    if one.name != one.quantity.label:  # per atom
        values = values / torch.tensor([len(frame.numbers) for frame in frames])[one.frames]
    stds: Array = values.numpy()
    return stds


def _by_frame(key: str, frames: Sequence[EvaluatedFrame]) -> Array:
    """One number for each frame of any size: per atom, or the root mean square over atoms and components."""
    values = np.array([float(one.predictions[key].square().mean().sqrt()) for one in frames])
    of = FIELDS.get(FIELDS[key].std_of)
    if of is not None and of.extensive:
        values = values / np.array([len(one.numbers) for one in frames])
    return values
