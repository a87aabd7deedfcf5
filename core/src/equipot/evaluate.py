"""Errors of a model on labelled frames, for a table and parity plots."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from equipot.artifacts._compiled_model import CompiledModel
from equipot.errors import DataError, problem
from equipot.graph import Graph, collate, non_finite
from equipot.model._graph_model import GraphModel
from equipot.quantities import COMPARED, REPORTED, Reported, compare, in_mev


@dataclass(frozen=True)
class Compared:
    """Labels and predictions of one quantity over a data set."""

    quantity: Reported
    """The quantity and its unit."""
    labels: torch.Tensor
    """Flat, float64, in the unit of the quantity."""
    predictions: torch.Tensor
    """In the same order and unit as ``labels``."""

    @property
    def name(self) -> str:
        """``per_atom_energy``, ``forces`` or ``stress``."""
        return self.quantity.name

    def errors(self) -> dict[str, float | int | str]:
        """Root mean square, mean absolute and largest error, with unit and number of values."""
        difference = (self.predictions - self.labels).abs()
        return {
            "rmse": float(difference.square().mean().sqrt()),
            "mae": float(difference.mean()),
            "max": float(difference.max()),
            "values": difference.numel(),
            "unit": self.quantity.unit,
        }


@dataclass(frozen=True)
class Evaluation:
    """Errors of a model on a data set."""

    n_frames: int
    compared: tuple[Compared, ...]
    """One entry for each quantity that has both labels and predictions."""

    def to_dict(self) -> dict[str, Any]:
        """Errors under names such as ``forces_mae_mev_per_angstrom``, and the numbers of frames and values."""
        plain: dict[str, Any] = {"n_frames": self.n_frames}
        for one in self.compared:
            errors, suffix = one.errors(), one.quantity.suffix
            plain |= {f"{one.name}_{kind}_{suffix}": errors[kind] for kind in ("rmse", "mae", "max")}
            plain[f"{one.name}_values"] = errors["values"]
        return plain


def evaluate(
    model: GraphModel | CompiledModel,
    path: str | Path,
    *,
    labels: Mapping[str, str | Mapping[str, str]] | None = None,
    batch_size: int = 10,
    device: str | torch.device = "cpu",
    progress: Callable[[list[int]], Iterable[int]] = iter,
) -> Evaluation:
    """Compare a model with labelled frames.

    Args:
        model: A model returned by ``equipot.artifacts.load``.
        path: File that ASE can read, with labels in the units of the model's training data.
        labels: Names of the labels in the file, as in ``data.labels``; default: ASE's names.
        batch_size: Number of frames evaluated at once.
        device: Device of the model.
        progress: Wraps the list of batch starts, to show a progress bar.

    Raises:
        DataError: If the file cannot be read or has no usable label, or a prediction is not finite.
    """
    frames, factor = _frames(model, path, labels), in_mev(model.info.units)
    pairs: dict[Reported, list[tuple[torch.Tensor, ...]]] = {one: [] for one in REPORTED}
    for start in progress(list(range(0, len(frames), batch_size))):
        batch = {key: value.to(device) for key, value in collate(frames[start : start + batch_size]).items()}
        outputs = model(batch)
        if bad := non_finite(outputs):
            where = f"{path}, frames {start} to {start + batch_size - 1}"
            raise DataError(problem(where, f"the model gives non-finite {bad}"))
        for one, kept in pairs.items():
            found = compare(COMPARED[one.name], COMPARED[one.name], outputs, batch)
            if found is not None and bool(found.present.any()):
                both = (part[found.present].reshape(-1).cpu() * factor for part in (found.labels, found.predictions))
                kept.append(tuple(both))
    compared = [Compared(one, *map(torch.cat, zip(*kept, strict=True))) for one, kept in pairs.items() if kept]
    if not compared:
        raise DataError(_no_labels(model, path))
    return Evaluation(len(frames), tuple(compared))


def _no_labels(model: GraphModel | CompiledModel, path: str | Path) -> str:
    """The message for a file without usable labels; it suggests keys of the file that look like labels."""
    from equipot.data._frames import DEFAULT_LABELS, keys_found, suggest_keys
    from equipot.data._readers import read_atoms

    found = keys_found(read_atoms(path)[0])
    named = [f"{label}={keys[0]}" for label in DEFAULT_LABELS if (keys := suggest_keys(label, found))]
    hint = f"name the keys: --labels {' '.join(named) or 'total_energy=KEY forces=KEY'}"
    return problem(str(path), f"has no label that the model predicts ({', '.join(model.info.outputs)})", hint=hint)


def _frames(
    model: GraphModel | CompiledModel, path: str | Path, labels: Mapping[str, str | Mapping[str, str]] | None
) -> list[Graph]:
    """The labelled frames of a file as the model takes them; a label that is not finite is a DataError."""
    from equipot.data._collection import collect_frames
    from equipot.data._frames import label_contract
    from equipot.data._readers import read_atoms
    from equipot.data.transforms import default_transforms

    placed = ((f"{path}, frame {number}", atoms) for number, atoms in enumerate(read_atoms(path)))
    read = collect_frames(placed, label_contract(labels, "--labels"))
    for place, reports in zip(read.places, read.reports, strict=True):
        for label, report in reports.items():
            if report.non_finite:
                raise DataError(problem(place, f"the label {label} is {report.non_finite}"))
    frames = list(read.frames)
    for transform in default_transforms(model.info):
        frames = [transform(frame) for frame in frames]
    return frames


def parity_plot(compared: Sequence[Compared], path: Path, title: str) -> None:
    """Predictions against labels, one panel per quantity, as an image file.

    Args:
        compared: ``Evaluation.compared``.
        path: Image to write; its suffix says whether it is PNG or PDF.
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
    figure.savefig(path, dpi=150)
