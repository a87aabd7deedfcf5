"""Multi-layer perceptrons without bias, for scalars."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Literal

import torch
import torch.nn.functional as F

from equipot.errors import ConfigError, problem
from equipot.nn.init import uniform_parameter


def shifted_softplus(x: torch.Tensor) -> torch.Tensor:
    """Softplus minus its value at 0, so that 0 stays exactly 0; any shape."""
    return F.softplus(x) - F.softplus(torch.zeros_like(x))


NONLINEARITIES: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "silu": F.silu,
    "mish": F.mish,
    "gelu": F.gelu,
    "ssp": shifted_softplus,
    "tanh": torch.tanh,
}
"""Nonlinearities by name; they all map 0 to 0."""

NOT_ZERO_AT_ZERO = ("softplus", "sigmoid")
"""Common nonlinearities that cannot be used, because they do not map 0 to 0."""


def nonlinearity_problem(name: str | None, where: str) -> str | None:
    """Check the name of a nonlinearity.

    Args:
        name: Name given by the user; None means linear, and is allowed.
        where: Place named in the message.

    Returns:
        A message, or None if the name can be used.
    """
    if name is None or name in NONLINEARITIES:
        return None
    hint = f"use one of {', '.join(NONLINEARITIES)}"
    if name in NOT_ZERO_AT_ZERO:
        what = f"{name} is not 0 at 0, so an isolated atom would not get exactly its energy shift"
        return problem(where, what, hint=hint)
    return problem(where, "is not a known nonlinearity", got=name, hint=hint)


class DenseLayers(torch.nn.Module):
    r"""Layers :math:`h \leftarrow f(h\,\alpha_k W_k)`, the last one without nonlinearity.

    Weights are stored [in, out] and start uniform in (-√3, √3), with variance 1; the constant
    :math:`\alpha_k = g_k / \sqrt{\text{fan}}` keeps activations (forward: fan in, :math:`g = 1` in the
    first layer, else √2) or gradients (backward: fan out, :math:`g = 1` in the last) of order 1.
    Without nonlinearity every gain is 1.

    Args:
        dims: Widths of input, hidden layers and output.
        nonlinearity: A key of ``NONLINEARITIES``, or None for a linear map.
        init: The scaling of the weights.
        dtype: Data type of the weights.
        generator: Source of the initial weights.

    Raises:
        ConfigError: If the nonlinearity is unknown or not 0 at 0.
    """

    def __init__(
        self,
        dims: Sequence[int],
        *,
        dtype: torch.dtype,
        generator: torch.Generator,
        nonlinearity: str | None = "silu",
        init: Literal["forward", "backward"] = "forward",
    ) -> None:
        super().__init__()
        if wrong := nonlinearity_problem(nonlinearity, "ScalarMLP.nonlinearity"):
            raise ConfigError(wrong)
        self.dims = tuple(dims)
        self.nonlinearity = nonlinearity
        layers = list(zip(self.dims[:-1], self.dims[1:], strict=True))
        self.weights = torch.nn.ParameterList(uniform_parameter(shape, dtype, generator) for shape in layers)
        unit_gain = 0 if init == "forward" else len(layers) - 1
        self.alphas = tuple(
            (1.0 if nonlinearity is None or k == unit_gain else math.sqrt(2.0)) / math.sqrt(fans[init == "backward"])
            for k, fans in enumerate(layers)
        )

    @property
    def last_weights(self) -> torch.nn.Parameter:
        """Weights of the last layer, which the outputs are linear in; shape [dims[-2], dims[-1]]."""
        return self.weights[-1]

    def apply_layers(self, x: torch.Tensor, *more: torch.Tensor) -> torch.Tensor:
        """Evaluate, in the data type of x.

        Args:
            x: Shape [n, dims[0]], or only its first columns.
            *more: The other columns; they are multiplied one by one, without a joined copy.

        Returns:
            Shape [n, dims[-1]].
        """
        activation = NONLINEARITIES.get(self.nonlinearity or "")
        first, *others = self._scaled(x.dtype)
        x = _product(first, x, *more)
        for weight in others:
            x = (x if activation is None else activation(x)) @ weight
        return x

    def last_inputs(self, x: torch.Tensor, *more: torch.Tensor) -> torch.Tensor:
        """What the outputs are linear in: they are ``last_inputs(x) @ last_weights``.

        Args:
            x: As for ``apply_layers``, and so the others.
            *more: The other columns.

        Returns:
            Shape [n, dims[-2]].
        """
        activation = NONLINEARITIES.get(self.nonlinearity or "")
        if len(self.weights) == 1:
            return torch.cat([x, *more], dim=1) * self.alphas[-1]
        first, *others, _ = self._scaled(x.dtype)
        x = _product(first, x, *more)
        for weight in others:
            x = (x if activation is None else activation(x)) @ weight
        return (x if activation is None else activation(x)) * self.alphas[-1]

    def _scaled(self, dtype: torch.dtype) -> list[torch.Tensor]:
        return [weight.to(dtype) * alpha for weight, alpha in zip(self.weights, self.alphas, strict=True)]


def _product(weight: torch.Tensor, x: torch.Tensor, *more: torch.Tensor) -> torch.Tensor:
    """The product of the columns of x and more with a weight, without a joined copy."""
    if not more:
        return x @ weight
    rows, *further = weight.split([part.shape[1] for part in (x, *more)])
    x = x @ rows
    for part, rows in zip(more, further, strict=True):
        x = torch.addmm(x, part, rows)
    return x


class ScalarMLP(DenseLayers):
    """``DenseLayers`` as a module."""

    def forward(self, x: torch.Tensor, *more: torch.Tensor) -> torch.Tensor:
        """Evaluate at x [n, dims[0]], or at parts of its columns; shape [n, dims[-1]]."""
        return self.apply_layers(x, *more)
