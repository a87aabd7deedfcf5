"""Errors of a model on labelled frames: a table, and parity plots."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from equipot.errors import DataError, problem
from equipot.fields import mask_key
from equipot.graph import collate, non_finite
from equipot.units import UNIT_SYSTEMS, Units

if TYPE_CHECKING:
    from equipot.artifacts._compiled_model import CompiledModel
    from equipot.graph import Graph
    from equipot.model._graph_model import GraphModel


@dataclass(frozen=True)
class Compared:
    """Labels and predictions of one quantity over a data set."""

    name: str
    """``per_atom_energy``, ``forces`` or ``stress``."""
    unit: str
    labels: torch.Tensor
    """Flat, float64, in ``unit``."""
    predictions: torch.Tensor
    """As ``labels``."""

    def errors(self) -> dict[str, float | int | str]:
        """Root mean square, mean absolute and largest error, with unit and number of values."""
        difference = (self.predictions - self.labels).abs()
        return {
            "rmse": float(difference.square().mean().sqrt()),
            "mae": float(difference.mean()),
            "max": float(difference.max()),
            "values": difference.numel(),
            "unit": self.unit,
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
            errors, suffix = one.errors(), _SUFFIX[one.name]
            plain |= {f"{one.name}_{kind}_{suffix}": errors[kind] for kind in ("rmse", "mae", "max")}
            plain[f"{one.name}_values"] = errors["values"]
        return plain


@dataclass(frozen=True)
class _Quantity:
    name: str
    label: str
    unit: str


_QUANTITIES = (
    _Quantity("per_atom_energy", "total_energy", "meV/atom"),
    _Quantity("forces", "forces", "meV/Å"),
    _Quantity("stress", "stress", "meV/Å³"),
)
_SUFFIX = {"per_atom_energy": "mev", "forces": "mev_per_angstrom", "stress": "mev_per_angstrom3"}
_MEV = 1e3


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
    frames = _frames(model, path, labels)
    pairs: dict[str, list[tuple[torch.Tensor, torch.Tensor]]] = {quantity.name: [] for quantity in _QUANTITIES}
    for start in progress(list(range(0, len(frames), batch_size))):
        batch = {key: value.to(device) for key, value in collate(frames[start : start + batch_size]).items()}
        outputs = model(batch)
        if bad := non_finite(outputs):
            raise DataError(
                problem(f"{path}, frames {start} to {start + batch_size - 1}", f"the model gives non-finite {bad}")
            )
        for quantity in _QUANTITIES:
            pairs[quantity.name].append(_compared(quantity, batch, outputs, model.info.units))
    found = [
        Compared(quantity.name, quantity.unit, *(torch.cat(parts) for parts in zip(*pairs[quantity.name], strict=True)))
        for quantity in _QUANTITIES
    ]
    found = [one for one in found if one.labels.numel()]
    if not found:
        raise DataError(_no_labels(model, path))
    return Evaluation(len(frames), tuple(found))


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
    from equipot.data._frames import frame_from_atoms, label_contract
    from equipot.data._readers import read_atoms
    from equipot.data.transforms import default_transforms

    contract = label_contract(labels, "--labels")
    transforms = default_transforms(model.info)
    frames = []
    for number, atoms in enumerate(read_atoms(path)):
        frame, reports = frame_from_atoms(atoms, contract, f"{path}, frame {number}")
        for label, report in reports.items():
            if report.non_finite:
                raise DataError(problem(f"{path}, frame {number}", f"the label {label} is {report.non_finite}"))
        for transform in transforms:
            frame = transform(frame)
        frames.append(frame)
    return frames


def _compared(quantity: _Quantity, batch: Graph, outputs: Graph, units: Units) -> tuple[torch.Tensor, torch.Tensor]:
    """Labels and predictions where both exist, flat, in the unit shown."""
    nothing = torch.zeros(0, dtype=torch.float64)
    if quantity.label not in batch or quantity.label not in outputs:
        return nothing, nothing
    label, prediction = batch[quantity.label], outputs[quantity.label]
    if quantity.label == "total_energy":
        label, prediction = label / batch["num_atoms"], prediction / batch["num_atoms"]
    mask = torch.ones(label.shape[0], dtype=torch.bool, device=label.device)
    for source in (batch, outputs):
        if mask_key(quantity.label) in source:
            mask = mask & source[mask_key(quantity.label)]
    factor = _MEV * UNIT_SYSTEMS[units].energy_in_ev
    return label[mask].reshape(-1).cpu() * factor, prediction[mask].reshape(-1).cpu() * factor


def parity_plot(compared: Sequence[Compared], path: Path, title: str) -> None:
    """Predictions against labels, one panel a quantity, as an image file.

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
        axis.set_xlabel(f"label, {one.unit}")
        axis.set_ylabel(f"prediction, {one.unit}")
        errors = one.errors()
        axis.set_title(
            f"{one.name.replace('_', ' ')}: RMSE {errors['rmse']:.3g}, MAE {errors['mae']:.3g} {one.unit}", fontsize=9
        )
    figure.suptitle(title)
    figure.savefig(path, dpi=150)
