"""SoftAdapt: coefficients of the loss that depend on how fast each term decreases."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import lightning
import torch
from pydantic import Field

from equipot.train import Loss
from equipot_toolbox._coefficients import LossCallback, loss_of


def softadapt_weights(losses: torch.Tensor, previous: torch.Tensor, beta: float, eps: float = 1e-8) -> torch.Tensor:
    r"""Weights of terms by their rates of change; terms that decrease more slowly have larger weights.

    .. math:: w_k = \mathrm{softmax}_k\left(\beta \, \frac{s_k}{\lVert s \rVert_2 + \epsilon}\right),
        \qquad s_k = L_k(t) - L_k(t - 1)

    Args:
        losses: Present values of the terms, shape [n_terms].
        previous: Values one interval before, shape [n_terms].
        beta: Influence of the rates; 0 gives equal weights.
        eps: Small number that keeps the quotient finite.

    Returns:
        Weights that sum to 1, shape [n_terms].

    Source: Heydari, Thompson, Mehmood (2019), arXiv:1912.12355; rates divided by their 2-norm.
    """
    slopes = losses - previous
    return torch.softmax(beta * slopes / (torch.linalg.vector_norm(slopes) + eps), dim=0)


class SoftAdapt(LossCallback):
    """Multiplies the coefficients that the loss started with by SoftAdapt's weights.

    The weights are averaged over ``frequency`` intervals; then the coefficients are set, normalised to sum 1. Terms
    with coefficient 0 keep it.

    Args:
        beta: Influence of the rates of change; 0 gives equal weights.
        interval: Compare terms of batches or of whole epochs. If some batches lack a label, use ``epoch``, because the
            term of such a batch is 0.
        frequency: Number of intervals between changes of the coefficients.
        eps: Small number that keeps the quotient finite.
    """

    def __init__(
        self,
        beta: float,
        interval: Literal["batch", "epoch"] = "epoch",
        frequency: Annotated[int, Field(ge=1)] = 1,
        eps: Annotated[float, Field(gt=0.0)] = 1e-8,
    ) -> None:
        self.beta, self.interval, self.frequency, self.eps = beta, interval, frequency, eps
        self._base: dict[str, float] = {}
        self._previous: torch.Tensor | None = None
        self._weights: list[torch.Tensor] = []
        self._pending: dict[str, float] | None = None
        self._epochs_seen = 0
        self._terms: dict[str, torch.Tensor] = {}
        self._hook: Any = None

    def state_dict(self) -> dict[str, Any]:
        """Everything that the next coefficients depend on."""
        return {
            "base": self._base,
            "previous": self._previous,
            "weights": list(self._weights),
            "pending": self._pending,
            "epochs_seen": self._epochs_seen,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue from a stored state."""
        self._base = dict(state_dict["base"])
        self._previous = state_dict["previous"]
        self._weights = list(state_dict["weights"])
        self._pending = state_dict["pending"]
        self._epochs_seen = int(state_dict["epochs_seen"])

    def on_fit_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Remember the initial coefficients, and record the terms of each batch if the interval is ``batch``."""
        super().on_fit_start(trainer, pl_module)
        loss = loss_of(pl_module)
        self._base = self._base or loss.coefficients
        if self.interval == "batch":
            self._hook = loss.register_forward_hook(self._keep)

    def on_fit_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Stop recording."""
        if self._hook is not None:
            self._hook.remove()
            self._hook = None

    def _keep(self, module: torch.nn.Module, arguments: Any, terms: dict[str, torch.Tensor]) -> None:
        self._terms = {name: value.detach() for name, value in terms.items()}

    def on_train_batch_start(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Set new coefficients if they are due.

        If a run was stopped and resumed before the end of an epoch, the epoch is compared here; its sums still exist.
        """
        loss = loss_of(pl_module)
        if self.interval == "epoch" and self._epochs_seen < trainer.current_epoch:
            self._see_epoch(trainer, loss, trainer.current_epoch)
        if self._pending is not None:
            loss.set_coefficients(self._pending)
            self._pending = None

    def on_train_batch_end(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Compare the batch with the previous one."""
        if self.interval == "batch":
            self._see(trainer, self._terms)

    def on_train_epoch_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Compare the epoch with the previous one, unless it was stopped half way."""
        whole = trainer.is_last_batch and self._epochs_seen <= trainer.current_epoch
        if self.interval == "epoch" and whole:
            self._see_epoch(trainer, loss_of(pl_module), trainer.current_epoch + 1)

    def _see_epoch(self, trainer: lightning.Trainer, loss: Loss, seen: int) -> None:
        self._epochs_seen = seen
        values = loss.epoch_values()
        if values.keys() >= self._base.keys():
            self._see(trainer, values)

    def _see(self, trainer: lightning.Trainer, terms: dict[str, torch.Tensor]) -> None:
        """Add the terms of one interval; after ``frequency`` intervals, compute the next coefficients."""
        values = torch.stack([terms[name].to(torch.float64) for name in self._base])
        if trainer.world_size > 1:
            values = torch.as_tensor(trainer.strategy.reduce(values, reduce_op="mean"))
        values = values.cpu()
        previous, self._previous = self._previous, values
        if previous is None:
            return
        self._weights.append(softadapt_weights(values, previous, self.beta, self.eps))
        if len(self._weights) == self.frequency:
            mean = torch.stack(self._weights).mean(0).tolist()
            self._pending = {name: base * weight for (name, base), weight in zip(self._base.items(), mean, strict=True)}
            self._weights = []
