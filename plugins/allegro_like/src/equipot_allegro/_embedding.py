"""Radial-chemical embeddings: features of an edge from its length and its ordered pair of types."""

from __future__ import annotations

import dataclasses
import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Annotated, Literal

import torch
from pydantic import Field

from equipot.nn.embedding import TypeEmbedding
from equipot.nn.init import uniform_parameter
from equipot.nn.linear import slot_product
from equipot.nn.mlp import ScalarMLP
from equipot.nn.radial import RadialEmbedding
from equipot.options import Options

# The bound holds for files of strangers too, which can ask for anything.
Width = Annotated[int, Field(gt=0, le=65_536)]


@dataclass(frozen=True, kw_only=True)
class EmbeddingContext:
    """The model for which an embedding is built."""

    num_types: int
    """Number of atom types."""
    dim: int
    """Number of features."""
    init: Literal["forward", "backward"]
    """Scaling of the initial weights, which keeps activations (forward) or gradients (backward) of order 1."""
    dtype: torch.dtype
    """Data type of the features."""
    generator: torch.Generator
    """Source of the initial weights."""


class PairEmbedding(torch.nn.Module, ABC):
    """Features that depend on the relative length and the ordered pair of types; zero from x = 1 on."""

    @abstractmethod
    def forward(self, x: torch.Tensor, pair_types: torch.Tensor) -> torch.Tensor:
        """Evaluate.

        Args:
            x: Lengths divided by their cutoff radius, float64, shape [n].
            pair_types: Index of the ordered pair of types, shape [n].

        Returns:
            Features in their data type, shape [n, dim].
        """

    @abstractmethod
    def evaluate(self, x: torch.Tensor, pair_types: torch.Tensor) -> torch.Tensor:
        """Evaluate in float64 throughout, even if weights and features have another data type."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class TwoBodyScalarEmbed(Options, ABC):
    """Base of the options of radial-chemical embeddings."""

    @abstractmethod
    def build(self, context: EmbeddingContext) -> PairEmbedding:
        """Build the module with its initial weights.

        Args:
            context: Number of types and features, data type.
        """


@dataclasses.dataclass(frozen=True, kw_only=True)
class TwoBodyBesselScalarEmbed(TwoBodyScalarEmbed):
    """Linear combinations of Bessel functions of the length, times a vector for the pair of types."""

    num_bessels: Width = 8
    """Number of Bessel functions of the distance."""

    bessel_trainable: bool = False
    """Whether to train the roots of the Bessel functions."""

    polynomial_cutoff_p: Annotated[float, Field(ge=2)] = 6
    """Exponent p of the polynomial cutoff function; with larger values it stays close to 1 up to longer distances."""

    def build(self, context: EmbeddingContext) -> PairEmbedding:
        """Build the module with its initial weights."""
        return BesselPairEmbedding(self, context)


@dataclasses.dataclass(frozen=True, kw_only=True)
class TwoBodySplineScalarEmbed(TwoBodyScalarEmbed):
    """A trainable spline of the length for each feature and ordered pair of types."""

    num_splines: Width = 16
    """Number of bump functions on the interval from 0 to the cutoff radius."""

    spline_span: Annotated[int, Field(ge=0, le=65_536)] = 12
    """How many neighbouring bumps each bump overlaps; its width is (spline_span + 1) / num_splines."""

    def build(self, context: EmbeddingContext) -> PairEmbedding:
        """Build the module with its initial weights."""
        return SplinePairEmbedding(self, context)


class BesselPairEmbedding(PairEmbedding):
    r"""Features :math:`z = [C_{t_i} \Vert N_{t_j}] \odot (R(x)\, \alpha W)`.

    R are the Bessel functions times the cutoff function; C and N are tables of vectors for the types of
    centre and neighbour, each with half of the features.

    Args:
        options: Bessel functions and cutoff.
        context: The model; ``dim`` must be even.
    """

    def __init__(self, options: TwoBodyBesselScalarEmbed, context: EmbeddingContext) -> None:
        super().__init__()
        dtype, generator = context.dtype, context.generator
        self.radial = RadialEmbedding(
            options.num_bessels,
            trainable=options.bessel_trainable,
            polynomial_cutoff_p=options.polynomial_cutoff_p,
            dtype=dtype,
        )
        self.centre = TypeEmbedding(context.num_types, context.dim // 2, dtype=dtype, generator=generator)
        self.neighbour = TypeEmbedding(context.num_types, context.dim // 2, dtype=dtype, generator=generator)
        dims = (options.num_bessels, context.dim)
        self.linear = ScalarMLP(dims, nonlinearity=None, init=context.init, dtype=dtype, generator=generator)

    def forward(self, x: torch.Tensor, pair_types: torch.Tensor) -> torch.Tensor:
        """Evaluate at x [n] for pair_types [n]; shape [n, dim]."""
        return self._features(self.radial(x), pair_types)

    def evaluate(self, x: torch.Tensor, pair_types: torch.Tensor) -> torch.Tensor:
        """Evaluate in float64 throughout."""
        return self._features(self.radial.evaluate(x), pair_types)

    def _features(self, radial: torch.Tensor, pair_types: torch.Tensor) -> torch.Tensor:
        num_types = self.centre.weight.shape[0]
        centre = self.centre.weight.repeat_interleave(num_types, dim=0)
        table = torch.cat([centre, self.neighbour.weight.repeat(num_types, 1)], dim=1)
        return table.to(radial.dtype).index_select(0, pair_types) * self.linear(radial)


class SplinePairEmbedding(PairEmbedding):
    r"""Features :math:`z_c = \sum_k A_{ck} \phi_k(x)` with a matrix A for each ordered pair of types.

    .. math:: \phi_k(x) = \tfrac14 \Big(1 - \cos\frac{2\pi (x - a_k)}{b_k - a_k}\Big)^2, \quad a_k < x < b_k

    and zero outside, where :math:`a_k = (k - s)/K` and :math:`b_k = (k + 1)/K` for K bumps of span s.
    The last bump ends at x = 1, so no further cutoff function is needed. ``weight``, kept in float64,
    has shape [num_types², num_splines, dim].

    Args:
        options: Number and span of the bumps.
        context: The model.
    """

    lower: torch.Tensor
    order: torch.Tensor

    def __init__(self, options: TwoBodySplineScalarEmbed, context: EmbeddingContext) -> None:
        super().__init__()
        self.dtype = context.dtype
        self.width = (options.spline_span + 1) / options.num_splines
        lower = (torch.arange(options.num_splines, dtype=torch.float64) - options.spline_span) / options.num_splines
        self.register_buffer("lower", lower, persistent=False)
        self.sizes = [2 * last + 1 for last in range(context.num_types)]
        self.register_buffer("order", _by_later_type(context.num_types), persistent=False)
        shape = (context.num_types**2, options.num_splines, context.dim)
        self.weight = uniform_parameter(shape, torch.float64, context.generator)
        fan = max(options.spline_span, 1) if context.init == "forward" else context.dim
        with torch.no_grad():
            self.weight.mul_(1.0 / math.sqrt(fan))

    def forward(self, x: torch.Tensor, pair_types: torch.Tensor) -> torch.Tensor:
        """Evaluate at x [n] for pair_types [n]; shape [n, dim]."""
        return self.evaluate(x, pair_types).to(self.dtype)

    def evaluate(self, x: torch.Tensor, pair_types: torch.Tensor) -> torch.Tensor:
        """Evaluate in float64 throughout."""
        x = x.unsqueeze(1)
        phase = (torch.clamp(x, self.lower, self.lower + self.width) - self.lower) / self.width
        bumps = 0.25 * (1.0 - torch.cos(2.0 * math.pi * phase)).square()
        if self.weight.shape[0] == 1:
            return bumps @ self.weight[0]
        slots = torch.nn.functional.one_hot(pair_types, self.weight.shape[0]).to(bumps.dtype)
        # Pairs belong together by their later type, so that types that are added last change nothing for the others.
        matrices, slots = self.weight.index_select(0, self.order), slots.index_select(1, self.order)
        return slot_product(bumps.unsqueeze(1), slots, matrices, self.sizes).squeeze(1)


def _by_later_type(num_types: int) -> torch.Tensor:
    """Indices of all ordered pairs of types: first those of type 0, then those that also have type 1, and so on."""
    types = torch.arange(num_types)
    return torch.maximum(types.unsqueeze(1), types).flatten().argsort(stable=True)
