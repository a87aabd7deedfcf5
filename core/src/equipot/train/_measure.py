"""Errors of predictions against labels, with absent labels left out: one masking path for all."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torchmetrics import Metric

from equipot.fields import mask_key

if TYPE_CHECKING:
    from equipot.graph import Graph


@dataclass(frozen=True)
class Quantity:
    """What is compared: a label, as it is or per atom."""

    name: str
    """``total_energy``, ``per_atom_energy``, ``forces`` or ``stress``."""

    label: str
    """Field of the data and of the model's output."""

    per_atom: bool = False


TOTAL_ENERGY = Quantity("total_energy", "total_energy")
PER_ATOM_ENERGY = Quantity("per_atom_energy", "total_energy", per_atom=True)
FORCES = Quantity("forces", "forces")
STRESS = Quantity("stress", "stress")


def errors(quantity: Quantity, outputs: Graph, batch: Graph) -> tuple[torch.Tensor, torch.Tensor]:
    """Prediction minus label, and where both exist.

    Args:
        quantity: What to compare.
        outputs: Of the model.
        batch: With the label and, where some are absent, ``<label>_mask``.

    Returns:
        Errors of shape [n, …], 0 where there is no label, and the mask [n]. Absent labels are
        never read.
    """
    label = quantity.label
    prediction = outputs[label]
    mask = torch.ones(prediction.shape[0], dtype=torch.bool, device=prediction.device)
    if label not in batch:
        return torch.zeros_like(prediction), ~mask
    for masks in (batch, outputs):
        if mask_key(label) in masks:
            mask = mask & masks[mask_key(label)]
    wide = mask.reshape(-1, *[1] * (prediction.dim() - 1))
    difference = torch.where(wide, prediction, 0.0) - torch.where(wide, batch[label], 0.0)
    if quantity.per_atom:
        difference = difference / batch["num_atoms"].to(difference.dtype)
    return difference, mask


class ErrorSums(Metric):
    """Sums over an epoch from which mean, root mean square and largest error follow.

    Averages are over scalar entries of the whole epoch, on all processes; not means of means.
    """

    full_state_update = False
    squares: torch.Tensor
    absolutes: torch.Tensor
    count: torch.Tensor
    largest: torch.Tensor

    def __init__(self, groups: int = 1) -> None:
        """Start empty.

        Args:
            groups: Number of groups (atom types) with sums of their own.
        """
        super().__init__()
        for name in ("squares", "absolutes", "count"):
            self.add_state(name, torch.zeros(groups, dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("largest", torch.zeros(groups, dtype=torch.float64), dist_reduce_fx="max")

    def update(self, difference: torch.Tensor, mask: torch.Tensor, group: torch.Tensor | None = None) -> None:
        """Add errors.

        Args:
            difference: Shape [n, …], 0 where masked.
            mask: Shape [n].
            group: Group of each row, shape [n]; None: all in group 0.
        """
        rows = difference.detach().to(torch.float64).reshape(mask.shape[0], -1)
        index = torch.zeros_like(mask, dtype=torch.int64) if group is None else group
        width = rows.shape[1]
        self.squares.index_add_(0, index, rows.square().sum(1))
        self.absolutes.index_add_(0, index, rows.abs().sum(1))
        self.count.index_add_(0, index, mask.to(torch.float64) * width)
        if width and mask.shape[0]:
            self.largest.scatter_reduce_(0, index, rows.abs().amax(1), "amax")

    def compute(self) -> dict[str, torch.Tensor]:
        """Sums of each group: ``squares``, ``absolutes``, ``count``, ``largest``."""
        return {"squares": self.squares, "absolutes": self.absolutes, "count": self.count, "largest": self.largest}


def computed(sums: ErrorSums) -> dict[str, torch.Tensor]:
    """``sums.compute()`` on all processes, without a warning where nothing was added."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        result: dict[str, torch.Tensor] = sums.compute()
    return {name: value.reshape(-1) for name, value in result.items()}  # torchmetrics squeezes


def normalised(coeffs: dict[str, float], where: str) -> dict[str, float]:
    """Coefficients that sum to 1, without those that are 0.

    Args:
        coeffs: Name to weight.
        where: Place named in errors.

    Raises:
        ConfigError: If one is negative or none is positive.
    """
    from equipot.errors import ConfigError, problem

    negative = {name: value for name, value in coeffs.items() if value < 0}
    problems = [problem(f"{where}.{name}", "must not be negative", got=value) for name, value in negative.items()]
    total = sum(coeffs.values())
    if not problems and total <= 0:
        problems.append(problem(where, "one must be greater than 0", got=dict(coeffs)))
    if problems:
        raise ConfigError(problems)
    return {name: value / total for name, value in coeffs.items() if value > 0}


def check_names(given: dict[str, float], known: list[str], where: str) -> list[str]:
    """Problems of keys that name nothing.

    Args:
        given: Mapping from the user.
        known: What there is.
        where: Place named in messages.
    """
    from equipot.errors import did_you_mean, problem

    return [
        problem(f"{where}.{name}", "unknown name", hint=did_you_mean(name, known) or f"names: {', '.join(known)}")
        for name in given
        if name not in known
    ]
