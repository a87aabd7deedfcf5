"""Functions of the length of an edge and of its pair of types, which kernels may tabulate."""

from __future__ import annotations

import itertools
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from typing import Literal

import torch

from equipot.nn.edges import Edges
from equipot.nn.mlp import DenseLayers
from equipot.nn.radial import RadialEmbedding
from equipot.nn.slots import KernelSlot


class RadialFunction(KernelSlot, ABC):
    """Values of each edge that depend only on its relative length x and its pair of types.

    They are smooth in x; from x = 1 on, both values and slope are exactly zero.
    """

    dim: int
    """Number of values."""
    num_pairs: int = 1
    """Number of ordered pairs of types with functions of their own; 1: all share one function."""

    @abstractmethod
    def forward(self, edges: Edges) -> torch.Tensor:
        """Values of all edges, shape [n_edges, dim]."""

    @abstractmethod
    def evaluate(self, x: torch.Tensor, pair_type: int = 0) -> torch.Tensor:
        """Values at any relative lengths, for tables; computed in float64, also with weights of another dtype.

        Autograd can differentiate the values three times, with respect to x and to the parameters.

        Args:
            x: Lengths divided by the cutoff radius, float64, shape [n].
            pair_type: Index of the ordered pair of types, below ``num_pairs``.

        Returns:
            Float64, shape [n, dim].
        """

    def value_dtype(self) -> torch.dtype:
        """Data type of the result of ``forward``; by default that of the first parameter."""
        return next(self.parameters()).dtype

    def sources(self) -> Iterable[torch.Tensor]:
        """All tensors that the values depend on; subclasses add those of modules that they only refer to."""
        return itertools.chain(self.parameters(), self.buffers())


class RadialNetwork(DenseLayers, RadialFunction):
    """A perceptron on the radial embedding, the same for all pairs.

    Args:
        embedding: The radial embedding, which belongs to the caller and may be shared by several networks.
        dims: Widths of the layers; the first is the embedding's.
        dtype: Data type of the weights.
        generator: Source of the initial weights.
        nonlinearity: Name in ``equipot.nn.mlp.NONLINEARITIES``.
        init: Scaling of the weights, as for ``ScalarMLP``.
    """

    def __init__(
        self,
        embedding: RadialEmbedding,
        dims: Sequence[int],
        *,
        dtype: torch.dtype,
        generator: torch.Generator,
        nonlinearity: str | None = "silu",
        init: Literal["forward", "backward"] = "forward",
    ) -> None:
        super().__init__(dims, dtype=dtype, generator=generator, nonlinearity=nonlinearity, init=init)
        self.dim = self.dims[-1]
        # In a tuple, so that only the caller registers its parameters.
        self._embedding = (embedding,)

    def forward(self, edges: Edges) -> torch.Tensor:
        """Values of all edges, shape [n_edges, dim]."""
        (embedding,) = self._embedding
        return self.apply_layers(edges.once(embedding, lambda: embedding(edges.x)))

    def evaluate(self, x: torch.Tensor, pair_type: int = 0) -> torch.Tensor:
        """Values at any relative lengths x [n], float64, shape [n, dim]."""
        (embedding,) = self._embedding
        return self.apply_layers(embedding.evaluate(x))

    def sources(self) -> Iterable[torch.Tensor]:
        """The weights and the tensors of the embedding."""
        (embedding,) = self._embedding
        return itertools.chain(self.parameters(), embedding.parameters(), embedding.buffers())
