"""Functions of an edge's length, and of its pair of types: what kernels may tabulate."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Literal

from equipot.nn.mlp import DenseLayers
from equipot.nn.slots import KernelSlot

if TYPE_CHECKING:
    from collections.abc import Sequence

    import torch

    from equipot.nn.edges import Edges
    from equipot.nn.radial import RadialEmbedding


class RadialFunction(KernelSlot, ABC):
    """Values of each edge that depend on its relative length x and its pair of types only.

    They are smooth in x, and exactly zero from x = 1 on.
    """

    dim: int
    """Number of values."""
    num_pairs: int = 1
    """Number of ordered pairs of types that are told apart; 1: the same function for all."""

    @abstractmethod
    def forward(self, edges: Edges) -> torch.Tensor:
        """Values of the edges of a call, shape [n_edges, dim]."""

    @abstractmethod
    def evaluate(self, x: torch.Tensor, pair_type: int) -> torch.Tensor:
        """Values at any relative lengths.

        Args:
            x: Lengths divided by the cutoff radius, float64, shape [n].
            pair_type: Index of the ordered pair of types, below ``num_pairs``.

        Returns:
            Shape [n, dim].
        """


class RadialNetwork(DenseLayers, RadialFunction):
    """A perceptron on the radial embedding, the same for all pairs.

    Args:
        embedding: The radial embedding; belongs to the caller, several networks share it.
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
        # In a tuple, so that its parameters are registered once, by the caller.
        self._embedding = (embedding,)

    def forward(self, edges: Edges) -> torch.Tensor:
        """Values of the edges of a call, shape [n_edges, dim]."""
        (embedding,) = self._embedding
        return self.apply_layers(edges.once(embedding, lambda: embedding(edges.x)))

    def evaluate(self, x: torch.Tensor, pair_type: int = 0) -> torch.Tensor:
        """Values at any relative lengths x [n], shape [n, dim]."""
        (embedding,) = self._embedding
        return self.apply_layers(embedding(x))
