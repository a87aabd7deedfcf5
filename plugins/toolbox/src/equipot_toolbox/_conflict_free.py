"""ConFIG: steps that lower every term of the loss, computed from the gradients of the single terms.

The gradients g_i of the terms, as unit vectors, are the rows of A; the direction x solves A x = b
with the loss's coefficients as b (least norm), and the step is (sum_i g_i · u) u with u = x / |x|.

Source: Liu, Chu, Thuerey (2025), ICLR, arXiv:2408.11104. Their package ``conflictfree`` solves with
``torch.linalg.lstsq``, whose last bits differ between equal runs, so that a resumed run would differ too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

import torch
from pydantic import Field

from equipot.errors import ConfigError, problem
from equipot.train import GradientCombination, LightningModule
from equipot.train.options import EMAOptions, ModuleOptions


def conflict_free_gradient(
    gradients: torch.Tensor, weights: torch.Tensor, *, least_squares: bool = True, eps: float = 1e-8
) -> torch.Tensor:
    """One gradient from those of several terms.

    Args:
        gradients: Gradients of the terms, shape [n_terms, n_parameters]; those not longer than ``eps`` are left out.
        weights: Desired ratios of the projections on the unit gradients, shape [n_terms].
        least_squares: Solve with the small matrix A Aᵀ, otherwise with the pseudo-inverse of A.
        eps: Length up to which a gradient is treated as 0.

    Returns:
        The gradient, shape [n_parameters]; 0 if no term has a gradient.
    """
    lengths = torch.linalg.vector_norm(gradients, dim=1)
    used = (lengths > eps) & (weights > 0.0)
    rows, wished = gradients[used].to(torch.float64), weights[used].to(torch.float64)
    if rows.shape[0] < 2:
        return gradients[used].sum(0)
    units = rows / torch.linalg.vector_norm(rows, dim=1, keepdim=True)
    if least_squares:
        overlaps = (units.unsqueeze(0) * units.unsqueeze(1)).sum(-1)
        parts = (torch.linalg.pinv(overlaps, hermitian=True, rtol=1e-12) * wished).sum(1)
        direction = (parts.unsqueeze(1) * units).sum(0)
    else:
        direction = (torch.linalg.pinv(units) * wished).sum(1)
    unit = direction / torch.linalg.vector_norm(direction).clamp(min=eps)
    return ((rows * unit).sum() * unit).to(gradients.dtype)


@dataclass(frozen=True, kw_only=True)
class ConFIG(GradientCombination):
    """Conflict-free gradients; the loss's coefficients are the desired ratios of the decrease of the terms."""

    gradient_clip_val: Annotated[float, Field(gt=0.0)] | None = None
    """Limit to which the conflict-free gradient is clipped; default: that of the trainer."""

    gradient_clip_algorithm: Literal["norm", "value"] | None = None
    """Clip by ``norm`` or by ``value``; default: as set in the trainer."""

    lsqr: bool = True
    """Solve with the small matrix of overlaps, otherwise with the pseudo-inverse of all gradients."""

    norm_eps: Annotated[float, Field(ge=0.0)] = 1e-8
    """Length up to which a term's gradient is treated as 0."""

    def check_trainer(self, module: LightningModule) -> None:
        """Refuse several processes, because the terms' gradients are not averaged over them.

        Raises:
            ConfigError: If there are several processes.
        """
        if module.trainer.world_size > 1:
            where = f"training_module: {type(module).__name__}"
            raise ConfigError(problem(where, "runs in one process", got=module.trainer.world_size, hint="devices: 1"))

    def combine_gradients(self, module: LightningModule, terms: Mapping[str, torch.Tensor]) -> None:
        """Add the conflict-free gradient to the gradients of the parameters."""
        loss = module.loss
        assert loss is not None  # noqa: S101 - the module checked it
        parameters = [one for one in module.model.parameters() if one.requires_grad]
        rows = torch.stack([_flat_gradient(terms[name], parameters) for name in loss.coefficients])
        weights = torch.tensor(list(loss.coefficients.values()), dtype=rows.dtype, device=rows.device)
        step = conflict_free_gradient(rows, weights, least_squares=self.lsqr, eps=self.norm_eps)
        step = step / module.trainer.accumulate_grad_batches
        for parameter, part in zip(parameters, step.split([one.numel() for one in parameters]), strict=True):
            gradient = part.view_as(parameter).to(parameter.dtype)
            parameter.grad = gradient.clone() if parameter.grad is None else parameter.grad + gradient

    def clipping(self, value: float | None, algorithm: str | None) -> tuple[float | None, str | None]:
        """The options of clipping or, where they are not given, those of the trainer."""
        return self.gradient_clip_val or value, self.gradient_clip_algorithm or algorithm


def _flat_gradient(term: torch.Tensor, parameters: Sequence[torch.nn.Parameter]) -> torch.Tensor:
    if not term.requires_grad:
        return torch.cat([torch.zeros_like(one).flatten() for one in parameters])
    found = torch.autograd.grad(term, parameters, retain_graph=True, allow_unused=True, materialize_grads=True)
    return torch.cat([one.flatten() for one in found])


@dataclass(frozen=True, kw_only=True)
class ConFIGOptions(ModuleOptions, ConFIG):
    """Options of ``ConFIGLightningModule``."""


@dataclass(frozen=True, kw_only=True)
class EMAConFIGOptions(EMAOptions, ConFIG):
    """Options of ``EMAConFIGLightningModule``."""


class ConFIGLightningModule(LightningModule, options=ConFIGOptions):
    """Trains with conflict-free gradients; the loss's coefficients are the desired ratios of the decrease of the terms.

    Schedules, clipping, accumulated batches and resuming work as in ``LightningModule``.
    """


class EMAConFIGLightningModule(LightningModule, options=EMAConFIGOptions):
    """``ConFIGLightningModule`` with an exponential moving average of the weights."""
