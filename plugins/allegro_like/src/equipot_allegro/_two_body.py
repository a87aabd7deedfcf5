"""The part of the model that depends only on an edge's length and types."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from equipot.nn.mlp import NONLINEARITIES, ScalarMLP
from equipot.nn.radial_function import RadialFunction

if TYPE_CHECKING:
    from collections.abc import Sequence

    from equipot.nn.edges import Edges
    from equipot_allegro._embedding import EmbeddingContext, PairEmbedding


class TwoBody(RadialFunction):
    r"""Scalars of an edge, its weights in the first environment sum, and those of its first tensors.

    .. math:: x^0 = \text{MLP}(z), \qquad [s \Vert \omega] = x^0 \alpha P, \qquad w = x^0 \alpha W

    with the radial-chemical embedding z. The values are s, ω and w, one after the other. There is no
    nonlinearity between the last layer of the MLP and the two linear maps, so their product is computed
    once per call and then applied to all edges as one matrix.

    Args:
        embedding: The embedding z of length and types.
        dims: Widths of the MLP: input, hidden layers, output.
        nonlinearity: Nonlinearity of the MLP's hidden layers.
        sizes: Numbers of values s, ω and w.
        context: The model for which the embedding was built. It says how initial weights are scaled, except
            those of P, which always use ``forward``, as in the reference implementation.
    """

    def __init__(
        self,
        embedding: PairEmbedding,
        *,
        dims: Sequence[int],
        nonlinearity: str | None,
        sizes: tuple[int, int, int],
        context: EmbeddingContext,
    ) -> None:
        super().__init__()
        random: dict[str, Any] = {"dtype": context.dtype, "generator": context.generator}
        self.num_pairs = context.num_types**2
        self.sizes = sizes
        self.dim = sum(sizes)
        self.embedding = embedding
        self.mlp = ScalarMLP(dims, nonlinearity=nonlinearity, init=context.init, **random)
        self.projection = ScalarMLP((dims[-1], sizes[0] + sizes[1]), **random)
        self.tensor_weights = ScalarMLP((dims[-1], sizes[2]), init=context.init, **random)

    def forward(self, edges: Edges) -> torch.Tensor:
        """Values of the edges of a call, shape [n_edges, dim]."""
        assert edges.pair_types is not None  # noqa: S101 - for the type checker
        return self._values(self.embedding(edges.x, edges.pair_types))

    def evaluate(self, x: torch.Tensor, pair_type: int = 0) -> torch.Tensor:
        """Values at any relative lengths x [n] of one pair of types, float64, shape [n, dim]."""
        pair_types = torch.full(x.shape, pair_type, dtype=torch.int64, device=x.device)
        return self._values(self.embedding.evaluate(x, pair_types))

    def value_dtype(self) -> torch.dtype:
        """Data type of the values; an embedding may store its weights in another one."""
        return self.projection.weights[0].dtype

    def _values(self, hidden: torch.Tensor) -> torch.Tensor:
        dtype = hidden.dtype
        *matrices, last = [
            weight.to(dtype) * alpha for weight, alpha in zip(self.mlp.weights, self.mlp.alphas, strict=True)
        ]
        activation = NONLINEARITIES.get(self.mlp.nonlinearity or "")
        for matrix in matrices:
            hidden = hidden @ matrix
            if activation is not None:
                hidden = activation(hidden)
        final = [part.weights[0].to(dtype) * part.alphas[0] for part in (self.projection, self.tensor_weights)]
        return hidden @ (last @ torch.cat(final, dim=1))
