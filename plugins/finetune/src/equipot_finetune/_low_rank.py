r"""The optimizer ``LowRankAdam``: low-rank adapters that live in the optimizer, not in the model.

A weight that is read as a matrix :math:`W` keeps its starting value :math:`W_0` and changes by a product of two small
matrices, :math:`W = W_0 + s\,L R`, of which Adam trains :math:`L` and :math:`R`. With the gradient :math:`G` by
:math:`W`, theirs are :math:`s\,G R^T` and :math:`s\,L^T G`. :math:`R` starts at zero, so that training starts from
exactly the trained model. The model itself always has the weights :math:`W`: kernels, averages, files and engines see
an ordinary model, and nothing is left to be merged.

Source: Hu et al. (2021), arXiv:2106.09685.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Annotated, Any

import torch
from pydantic import Field
from torch.optim.adam import adam
from torch.optim.optimizer import Optimizer

from equipot.errors import ConfigError, problem
from equipot_finetune._freeze import is_part, part_problems

LEFT, RIGHT, CHANGE = "left", "right", "change"
_EPS = 1e-8
"""Added to the root of the average of squares, as torch's Adam does by default."""


class LowRankAdam(Optimizer):
    """Adam on low-rank changes of the weights, as with LoRA adapters; starts from exactly the weights that it gets.

    Vectors, and matrices for which two factors would have as many numbers as the matrix itself, are trained in full.
    Equivariance holds as in any training, since weights mix channels of the same irrep only.

    Args:
        params: Pairs of name and parameter, passed by the training module.
        lr: Learning rate. The first steps change a weight by about ``lr * scale``.
        betas: Decays of the averages of gradients and of squared gradients.
        weight_decay: Pulls the weights towards those that training started from, by ``lr * weight_decay`` in a step.
        rank: Rank of the changes.
        scale: Factor on the changes.
        full: Parameters, or modules that hold them, which are trained in full, also with ``*`` and ``?``.
        seed: Seed of the factors that do not start at zero.

    Raises:
        ConfigError: If parameters have no names, a name in ``full`` fits no parameter, or a decay is out of range.
    """

    def __init__(
        self,
        params: Any,
        lr: Annotated[float, Field(ge=0.0)] = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        weight_decay: Annotated[float, Field(ge=0.0)] = 0.0,
        rank: Annotated[int, Field(ge=1)] = 4,
        scale: Annotated[float, Field(gt=0.0)] = 1.0,
        full: list[str] | None = None,
        seed: int = 1,
    ) -> None:
        named = list(params)
        if not all(isinstance(one, tuple) for one in named):
            raise ConfigError(problem("LowRankAdam.params", "must be pairs of name and parameter"))
        problems = part_problems("LowRankAdam.full", full, [name for name, _ in named])
        if not all(0.0 <= beta < 1.0 for beta in betas):
            problems.append(problem("LowRankAdam.betas", "must be at least 0 and below 1", got=betas))
        if problems:
            raise ConfigError(problems)
        self._full, self._seed = tuple(full or ()), seed
        defaults = {"lr": lr, "betas": tuple(betas), "weight_decay": weight_decay, "rank": rank, "scale": scale}
        super().__init__(named, defaults)

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Take a step.

        Args:
            closure: Function that computes loss and gradients.
        """
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            trained = [pair for pair in self._named(group) if pair[1].grad is not None]
            for name, parameter in trained:
                if not self.state[parameter]:
                    self.state[parameter].update(self._start(name, parameter, group["rank"]))
            self._move(group, [parameter for _, parameter in trained])
        return loss

    @staticmethod
    def _named(group: dict[str, Any]) -> Iterator[tuple[str, torch.Tensor]]:
        return zip(group["param_names"], group["params"], strict=True)

    def _start(self, name: str, parameter: torch.Tensor, rank: int) -> dict[str, torch.Tensor]:
        """What is kept of a parameter: its value, the factors of its change or the change itself, and averages."""
        rows, columns = _shape(parameter)
        if parameter.ndim < 2 or rank * (rows + columns) >= rows * columns or is_part(name, self._full):
            factors = {CHANGE: torch.zeros_like(parameter)}
        else:
            generator = torch.Generator().manual_seed(self._seed + len(self.state))
            left = torch.randn(rows, rank, generator=generator, dtype=torch.float64) / math.sqrt(rank)
            factors = {LEFT: left.to(parameter), RIGHT: parameter.new_zeros(rank, columns)}
        kept = {"base": parameter.clone(), **factors}
        for key, factor in factors.items():
            kept[f"{key}_average"], kept[f"{key}_square"] = torch.zeros_like(factor), torch.zeros_like(factor)
            kept[f"{key}_step"] = torch.zeros((), dtype=torch.float32)
        return kept

    def _move(self, group: dict[str, Any], parameters: list[torch.Tensor]) -> None:
        """Move the factors along their gradients, and the parameters with them."""
        states = [self.state[parameter] for parameter in parameters]
        pairs = [
            (state, key, gradient)
            for state, parameter in zip(states, parameters, strict=True)
            for key, gradient in _gradients(state, parameter, group["scale"])
        ]
        factors = [state[key] for state, key, _ in pairs]
        if not factors:
            return
        if group["weight_decay"]:
            torch._foreach_mul_(factors, 1.0 - group["lr"] * group["weight_decay"])
        adam(
            factors,
            [gradient for _, _, gradient in pairs],
            [state[f"{key}_average"] for state, key, _ in pairs],
            [state[f"{key}_square"] for state, key, _ in pairs],
            [],
            [state[f"{key}_step"] for state, key, _ in pairs],
            foreach=True,
            amsgrad=False,
            beta1=group["betas"][0],
            beta2=group["betas"][1],
            lr=group["lr"],
            weight_decay=0.0,
            eps=_EPS,
            maximize=False,
        )
        for state, parameter in zip(states, parameters, strict=True):
            change = state[CHANGE] if CHANGE in state else state[LEFT] @ state[RIGHT]
            parameter.copy_(state["base"] + group["scale"] * change.view_as(parameter))


def _shape(parameter: torch.Tensor) -> tuple[int, int]:
    """Rows and columns of a parameter that is read as a matrix: its first axis, and all others."""
    rows = parameter.shape[0] if parameter.ndim else 1
    return rows, parameter.numel() // max(rows, 1)


def _gradients(
    state: dict[str, torch.Tensor], parameter: torch.Tensor, scale: float
) -> Iterator[tuple[str, torch.Tensor]]:
    """Gradients of the factors of a parameter's change, or of the change."""
    assert parameter.grad is not None  # noqa: S101 - for the type checker
    gradient = scale * parameter.grad
    if CHANGE in state:
        yield CHANGE, gradient
        return
    matrix = gradient.reshape(_shape(parameter))
    yield LEFT, matrix @ state[RIGHT].T
    yield RIGHT, state[LEFT].T @ matrix
