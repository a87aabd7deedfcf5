"""A radial-chemical embedding for ``AllegroModel``."""

from __future__ import annotations

import dataclasses
from typing import Annotated

import torch
from pydantic import Field

from equipot.nn.cutoff import polynomial_cutoff
from equipot.nn.init import normal_parameter
from equipot_allegro import EmbeddingContext, PairEmbedding, TwoBodyScalarEmbed


@dataclasses.dataclass(frozen=True, kw_only=True)
class GaussianScalarEmbed(TwoBodyScalarEmbed):
    """Gaussians of the length, mixed by a matrix for each ordered pair of types."""

    num_gaussians: Annotated[int, Field(ge=2)] = 16
    """Number of Gaussians, evenly spaced up to the cutoff radius and as wide as their spacing."""

    polynomial_cutoff_p: Annotated[float, Field(ge=2)] = 6.0
    """Exponent p of the polynomial cutoff."""

    def build(self, context: EmbeddingContext) -> PairEmbedding:
        """Make the module with its initial weights."""
        return GaussianPairEmbedding(self, context)


class GaussianPairEmbedding(PairEmbedding):
    """The module of ``GaussianScalarEmbed``.

    Args:
        options: Gaussians and cutoff.
        context: What it is built for.
    """

    def __init__(self, options: GaussianScalarEmbed, context: EmbeddingContext) -> None:
        super().__init__()
        self.num_gaussians, self.p = options.num_gaussians, options.polynomial_cutoff_p
        shape = (context.num_types**2, options.num_gaussians, context.dim)
        self.weights = normal_parameter(shape, context.dtype, context.generator)
        centres = torch.linspace(0.0, 1.0, options.num_gaussians, dtype=torch.float64)
        self.register_buffer("centres", centres, persistent=False)

    def forward(self, x: torch.Tensor, pair_types: torch.Tensor) -> torch.Tensor:
        """Evaluate at x [n] for pair_types [n]; shape [n, dim]."""
        return self._mixed(self._radial(x).to(self.weights.dtype), self.weights, pair_types)

    def evaluate(self, x: torch.Tensor, pair_types: torch.Tensor) -> torch.Tensor:
        """The same in float64 throughout."""
        return self._mixed(self._radial(x), self.weights.to(torch.float64), pair_types)

    def _radial(self, x: torch.Tensor) -> torch.Tensor:
        distance = (x.unsqueeze(1) - self.get_buffer("centres")) * (self.num_gaussians - 1)
        return torch.exp(-0.5 * distance.square()) * polynomial_cutoff(x, self.p).unsqueeze(1)

    def _mixed(self, radial: torch.Tensor, weights: torch.Tensor, pair_types: torch.Tensor) -> torch.Tensor:
        return torch.bmm(radial.unsqueeze(1), weights.index_select(0, pair_types)).squeeze(1)
