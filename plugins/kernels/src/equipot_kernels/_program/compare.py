"""What a program computes, compared with what the model computes."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Sequence

    from equipot.graph import Graph
    from equipot.model import GraphModel

_OUTPUTS, _GRADIENTS, _FLOOR = 1e3, 1e4, 1e2
"""Accepted differences in units of the rounding of the model's data type: of outputs and gradients relative to their
largest number, and, for what cancels out, relative to the energies and to the largest of all gradients."""


@dataclasses.dataclass(frozen=True)
class Tolerances:
    """What two calculations of a batch may differ by."""

    epsilon: float
    """Rounding of the model's data type."""
    energy: float
    """Scale of the energies, without those of isolated atoms, which hide differences."""
    shifts: dict[str, torch.Tensor]
    """Energies of isolated atoms, by output."""

    @classmethod
    def of(cls, model: GraphModel, data: Graph, outputs: Graph) -> Tolerances:
        """Those of a batch.

        Args:
            model: The model.
            data: The batch.
            outputs: Of the model.
        """
        with torch.no_grad():
            atomic = outputs["atomic_energy"]
            shift = model.scale_shift(torch.zeros_like(atomic), data["atom_types"])
            if "owned" in data:
                shift = shift * data["owned"]
            total = torch.zeros_like(outputs["total_energy"]).index_add(0, data["batch"], shift)
            largest = float((outputs["total_energy"] - total).abs().amax()) if len(total) else 0.0
        epsilon = torch.finfo(getattr(torch, model.info.model_dtype)).eps
        return cls(epsilon, max(1.0, largest), {"atomic_energy": shift, "total_energy": total})


def difference(found: Graph, expected: Graph, tolerances: Tolerances) -> str:
    """The first output that differs by more than rounding, and by how much; empty if none does.

    Args:
        found: Outputs of a program.
        expected: Outputs of the model.
        tolerances: Of the batch.
    """
    if found.keys() != expected.keys():
        return f"it gives {sorted(found)} instead of {sorted(expected)}"
    for name, right in expected.items():
        left, shift = found[name].detach(), tolerances.shifts.get(name, 0.0)
        if left.shape != right.shape or left.dtype != right.dtype:
            return f"{name} has the wrong shape or type"
        if not right.is_floating_point():
            if not torch.equal(left, right):
                return f"{name} differs"
            continue
        scale = _largest(right.detach() - shift)
        accepted = tolerances.epsilon * (_OUTPUTS * scale + _FLOOR * tolerances.energy)
        if (off := _deviation(left, right.detach())) > accepted:
            return f"{name} differs by {off:.1e} (accepted: {accepted:.1e})"
    return ""


def gradient_difference(
    names: Sequence[str],
    found: Sequence[torch.Tensor | None],
    expected: Sequence[torch.Tensor | None],
    dtype: str,
) -> str:
    """The first gradient that differs by more than rounding, and by how much; empty if none does.

    Args:
        names: Of the parameters.
        found: Gradients by a program.
        expected: Gradients by the model.
        dtype: Data type of the model.
    """
    epsilon = torch.finfo(getattr(torch, dtype)).eps
    whole = max((_largest(one) for one in expected if one is not None), default=0.0)
    for name, left, right in zip(names, found, expected, strict=True):
        if left is None or right is None:
            if left is not right:
                return f"the gradient of {name} is {'missing' if left is None else 'not to be there'}"
            continue
        accepted = epsilon * (_GRADIENTS * _largest(right) + _FLOOR * whole)
        if (off := _deviation(left, right)) > accepted:
            return f"the gradient of {name} differs by {off:.1e} (accepted: {accepted:.1e})"
    return ""


def _largest(values: torch.Tensor) -> float:
    finite = values[values.isfinite()]
    return float(finite.abs().amax()) if finite.numel() else 0.0


def _deviation(left: torch.Tensor, right: torch.Tensor) -> float:
    """Largest difference; what is not finite must be so in both."""
    if not torch.equal(left.isfinite(), right.isfinite()):
        return float("inf")
    return _largest(left - right)
