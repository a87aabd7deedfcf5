"""Errors of a model on labelled frames, for a table and parity plots."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from equipot.errors import DataError, problem
from equipot.graph import collate, non_finite
from equipot.quantities import COMPARED, REPORTED, Reported, compare, in_mev

if TYPE_CHECKING:
    from equipot.artifacts._compiled_model import CompiledModel
    from equipot.graph import Graph
    from equipot.model._graph_model import GraphModel


@dataclass(frozen=True)
class Compared:
    """Labels and predictions of one quantity over a data set."""

    quantity: Reported
    """What is compared, and in which unit."""
    labels: torch.Tensor
    """Flat, float64, in the unit of the quantity."""
    predictions: torch.Tensor
    """As ``labels``."""

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
    """A model against a data set."""

    n_frames: int
    compared: tuple[Compared, ...]
    """One entry for each quantity that has labels and predictions."""

    def to_dict(self) -> dict[str, Any]:
        """Flat numbers such as ``forces_mae_mev_per_angstrom``."""
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
        model: As given by ``equipot.artifacts.load``.
        path: Anything ASE reads; labels in the units of the model's training data.
        labels: Label contract as in ``data.labels``; default: ASE's names.
        batch_size: Frames evaluated at once.
        device: The model's.
        progress: Wraps the list of batch starts, to show a progress bar.

    Returns:
        One entry for each quantity that has labels and predictions.

    Raises:
        DataError: If the file cannot be read, has no usable label, or the model gives a non-finite
            number.
    """
    frames, factor = _frames(model, path, labels), in_mev(model.info.units)
    pairs: dict[str, list[tuple[torch.Tensor, ...]]] = {one.name: [] for one in REPORTED}
    for start in progress(list(range(0, len(frames), batch_size))):
        batch = {key: value.to(device) for key, value in collate(frames[start : start + batch_size]).items()}
        outputs = model(batch)
        if bad := non_finite(outputs):
            where = f"{path}, frames {start} to {start + batch_size - 1}"
            raise DataError(problem(where, f"the model gives non-finite {bad}"))
        for one in REPORTED:
            found = compare(COMPARED[one.name], COMPARED[one.name], outputs, batch)
            if found is not None and bool(found.present.any()):
                both = (part[found.present].reshape(-1).cpu() * factor for part in (found.labels, found.predictions))
                pairs[one.name].append(tuple(both))
    compared = [
        Compared(one, *(torch.cat(parts) for parts in zip(*pairs[one.name], strict=True)))
        for one in REPORTED
        if pairs[one.name]
    ]
    if not compared:
        raise DataError(_no_labels(model, path))
    return Evaluation(len(frames), tuple(compared))


def _no_labels(model: GraphModel | CompiledModel, path: str | Path) -> str:
    """The keys in the file that look like labels, as they would be named."""
    from equipot.data._frames import DEFAULT_LABELS, keys_found, suggest_keys
    from equipot.data._readers import read_atoms

    found = keys_found(read_atoms(path)[0])
    named = [f"{label}={keys[0]}" for label in DEFAULT_LABELS if (keys := suggest_keys(label, found))]
    hint = f"name the keys: --labels {' '.join(named) or 'total_energy=KEY forces=KEY'}"
    return problem(str(path), f"has no label that the model predicts ({', '.join(model.info.outputs)})", hint=hint)


def _frames(
    model: GraphModel | CompiledModel, path: str | Path, labels: Mapping[str, str | Mapping[str, str]] | None
) -> list[Graph]:
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
        compared: As given by ``evaluate``.
        path: PNG or PDF, by suffix.
        title: Above the panels.
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
