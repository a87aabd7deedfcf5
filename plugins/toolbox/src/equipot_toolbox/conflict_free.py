"""ConFIG: steps that lower every term of the loss, made from the gradients of the single terms.

The gradients g_i of the terms, as unit vectors, are the rows of A; the direction x solves A x = b
with the loss's coefficients as b (least norm), and the step is (sum_i g_i · u) u with u = x / |x|.

Source: Liu, Chu, Thuerey (2025), ICLR, arXiv:2408.11104. Their package ``conflictfree`` solves with
``torch.linalg.lstsq``, whose last bits differ between equal runs; a resumed run would.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, Literal

import torch
from pydantic import Field

from equipot.errors import ConfigError, problem
from equipot.model import GraphModel, ModelRecipe
from equipot.train import EMALightningModule, LightningModule, Loss, Metrics


def conflict_free_gradient(
    gradients: torch.Tensor, weights: torch.Tensor, *, least_squares: bool = True, eps: float = 1e-8
) -> torch.Tensor:
    """One gradient from those of several terms.

    Args:
        gradients: Shape [n_terms, n_parameters]; rows not longer than ``eps`` are left out.
        weights: Wished ratios of the projections on the unit gradients, shape [n_terms].
        least_squares: Solve with the small matrix A Aᵀ; else with the pseudo-inverse of A.
        eps: Length of a gradient that counts as none.

    Returns:
        Shape [n_parameters]; 0 if no term has a gradient.
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


class TermGradients:
    """Takes the terms of a loss at each batch and gives parameters their conflict-free gradients.

    Args:
        loss: Its terms are noted whenever it is called.
        where: Place named in errors.
        least_squares: Solve with the small matrix A Aᵀ; else with the pseudo-inverse of A.
        eps: Length of a gradient that counts as none.
        clip: Value and algorithm of clipping that go before the trainer's.

    Raises:
        ConfigError: If there is no loss with coefficients.
    """

    def __init__(
        self,
        loss: Loss | None,
        where: str,
        *,
        least_squares: bool,
        eps: float,
        clip: tuple[float | None, Literal["norm", "value"] | None],
    ) -> None:
        if not isinstance(loss, Loss):
            raise ConfigError(problem(f"{where}.loss", "required option is missing", hint="a loss with coefficients"))
        self._loss = loss
        self._least_squares = least_squares
        self._eps = eps
        self._clip = clip
        self._terms: dict[str, torch.Tensor] = {}
        loss.register_forward_hook(self._keep)

    def _keep(self, module: torch.nn.Module, arguments: Any, terms: dict[str, torch.Tensor]) -> None:
        self._terms = terms

    @staticmethod
    def start(module: LightningModule) -> None:
        """Refuse several processes: nothing averages the terms' gradients over them.

        Raises:
            ConfigError: If there are several.
        """
        if module.trainer.world_size > 1:
            where = f"training_module: {type(module).__name__}"
            raise ConfigError(problem(where, "runs in one process", got=module.trainer.world_size, hint="devices: 1"))

    def backward(self, module: LightningModule) -> None:
        """Add the conflict-free gradient to the parameters' gradients, in place of ``loss.backward()``.

        Args:
            module: Whose model is trained.
        """
        parameters = [one for one in module.model.parameters() if one.requires_grad]
        coefficients = self._loss.coefficients
        terms, self._terms = self._terms, {}
        rows = torch.stack([_flat_gradient(terms[name], parameters) for name in coefficients])
        weights = torch.tensor(list(coefficients.values()), dtype=rows.dtype, device=rows.device)
        step = conflict_free_gradient(rows, weights, least_squares=self._least_squares, eps=self._eps)
        step = step / module.trainer.accumulate_grad_batches
        for parameter, part in zip(parameters, step.split([one.numel() for one in parameters]), strict=True):
            gradient = part.view_as(parameter).to(parameter.dtype)
            parameter.grad = gradient.clone() if parameter.grad is None else parameter.grad + gradient

    def clip(
        self, module: LightningModule, optimizer: torch.optim.Optimizer, value: float | None, algorithm: str | None
    ) -> None:
        """Clip as the module says, else as the trainer says."""
        own_value, own_algorithm = self._clip
        module.clip_gradients(optimizer, own_value or value, own_algorithm or algorithm)


def _flat_gradient(term: torch.Tensor, parameters: Sequence[torch.nn.Parameter]) -> torch.Tensor:
    if not term.requires_grad:
        return torch.cat([torch.zeros_like(one).flatten() for one in parameters])
    found = torch.autograd.grad(term, parameters, retain_graph=True, allow_unused=True, materialize_grads=True)
    return torch.cat([one.flatten() for one in found])


class ConFIGLightningModule(LightningModule):
    """Trains with conflict-free gradients; the loss's coefficients are the wished ratios.

    Everything else is as in ``LightningModule``: schedules, clipping, accumulated batches, resuming.

    Args:
        model: A recipe, built here, or a built model.
        loss: Its terms; coefficients say how much each is to fall.
        train_metrics: Errors on the training set, accumulated while training.
        val_metrics: Errors on the validation sets.
        test_metrics: Errors on the test sets; default: as ``val_metrics``.
        optimizer: Any optimizer of ``torch.optim``; gets ``params``.
        lr_scheduler: A scheduler of ``torch.optim.lr_scheduler``, or Lightning's mapping.
        gradient_clip_val: Clip the conflict-free gradient to this; default: as the trainer says.
        gradient_clip_algorithm: Clip by ``norm`` or by ``value``.
        lsqr: Solve with the small matrix of overlaps; else with the pseudo-inverse of all gradients.
        norm_eps: Length of a term's gradient that counts as none.
    """

    def __init__(  # noqa: PLR0913 - the options of the section
        self,
        model: ModelRecipe | GraphModel,
        loss: Loss | None = None,
        train_metrics: Metrics | None = None,
        val_metrics: Metrics | None = None,
        test_metrics: Metrics | None = None,
        optimizer: Callable[..., Any] | None = None,
        lr_scheduler: Callable[..., Any] | Mapping[str, Any] | None = None,
        *,
        gradient_clip_val: Annotated[float, Field(gt=0.0)] | None = None,
        gradient_clip_algorithm: Literal["norm", "value"] | None = None,
        lsqr: bool = True,
        norm_eps: Annotated[float, Field(ge=0.0)] = 1e-8,
    ) -> None:
        super().__init__(model, loss, train_metrics, val_metrics, test_metrics, optimizer, lr_scheduler)
        clip = (gradient_clip_val, gradient_clip_algorithm)
        where = type(self).__name__
        self._gradients = TermGradients(loss, where, least_squares=lsqr, eps=norm_eps, clip=clip)

    def on_train_start(self) -> None:
        """Refuse several processes.

        Raises:
            ConfigError: If there are several.
        """
        self._gradients.start(self)
        super().on_train_start()

    def backward(self, loss: torch.Tensor, *args: Any, **kwargs: Any) -> None:
        """Give the parameters their conflict-free gradients."""
        self._gradients.backward(self)

    def configure_gradient_clipping(
        self,
        optimizer: torch.optim.Optimizer,
        gradient_clip_val: float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        """Clip as this module says, else as the trainer says."""
        self._gradients.clip(self, optimizer, gradient_clip_val, gradient_clip_algorithm)


class EMAConFIGLightningModule(EMALightningModule):
    """``ConFIGLightningModule`` with an exponential moving average of the weights.

    Args:
        model: A recipe, built here, or a built model.
        loss: Its terms; coefficients say how much each is to fall.
        train_metrics: Errors on the training set, accumulated while training.
        val_metrics: Errors on the validation sets.
        test_metrics: Errors on the test sets; default: as ``val_metrics``.
        optimizer: Any optimizer of ``torch.optim``; gets ``params``.
        lr_scheduler: A scheduler of ``torch.optim.lr_scheduler``, or Lightning's mapping.
        gradient_clip_val: Clip the conflict-free gradient to this; default: as the trainer says.
        gradient_clip_algorithm: Clip by ``norm`` or by ``value``.
        lsqr: Solve with the small matrix of overlaps; else with the pseudo-inverse of all gradients.
        norm_eps: Length of a term's gradient that counts as none.
        ema_decay: Largest decay of the average, at least 0 and below 1.
    """

    def __init__(  # noqa: PLR0913 - the options of the section
        self,
        model: ModelRecipe | GraphModel,
        loss: Loss | None = None,
        train_metrics: Metrics | None = None,
        val_metrics: Metrics | None = None,
        test_metrics: Metrics | None = None,
        optimizer: Callable[..., Any] | None = None,
        lr_scheduler: Callable[..., Any] | Mapping[str, Any] | None = None,
        *,
        gradient_clip_val: Annotated[float, Field(gt=0.0)] | None = None,
        gradient_clip_algorithm: Literal["norm", "value"] | None = None,
        lsqr: bool = True,
        norm_eps: Annotated[float, Field(ge=0.0)] = 1e-8,
        ema_decay: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.999,
    ) -> None:
        super().__init__(model, loss, train_metrics, val_metrics, test_metrics, optimizer, lr_scheduler, ema_decay)
        clip = (gradient_clip_val, gradient_clip_algorithm)
        where = type(self).__name__
        self._gradients = TermGradients(loss, where, least_squares=lsqr, eps=norm_eps, clip=clip)

    def on_train_start(self) -> None:
        """Refuse several processes.

        Raises:
            ConfigError: If there are several.
        """
        self._gradients.start(self)
        super().on_train_start()

    def backward(self, loss: torch.Tensor, *args: Any, **kwargs: Any) -> None:
        """Give the parameters their conflict-free gradients."""
        self._gradients.backward(self)

    def configure_gradient_clipping(
        self,
        optimizer: torch.optim.Optimizer,
        gradient_clip_val: float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        """Clip as this module says, else as the trainer says."""
        self._gradients.clip(self, optimizer, gradient_clip_val, gradient_clip_algorithm)
