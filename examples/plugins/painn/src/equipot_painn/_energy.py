r"""The energy module: messages between neighbours, mixing within each atom, readout.

Atom i has scalars :math:`s_i` [F] and vectors :math:`v_i` [3, F]. They start at zero, so that an atom
without neighbours keeps exactly zero; in the first layer the neighbour's type speaks instead.
"""

from __future__ import annotations

import math
from typing import Any

import torch

from equipot.graph import Graph
from equipot.model import BuildContext, EnergyModule
from equipot.nn.edges import Edges
from equipot.nn.embedding import TypeEmbedding
from equipot.nn.exchange import GhostExchange
from equipot.nn.init import normal_parameter
from equipot.nn.mlp import ScalarMLP
from equipot.nn.radial import RadialEmbedding
from equipot.nn.radial_function import RadialNetwork


class Message(torch.nn.Module):
    r"""What an atom receives from its neighbours.

    .. math::
        s_i \mathrel{+}= \sum_j \phi^s_j W^s(r_{ij}),\quad
        v_i \mathrel{+}= \sum_j v_j\, \phi^v_j W^v(r_{ij}) + \hat r_{ij}\, \phi^r_j W^r(r_{ij})

    with :math:`\phi_j = \text{MLP}(s_j)`, and the type embedding in place of :math:`s_j` in the first
    layer (eqs. 7 and 8 of the paper).
    """

    def __init__(self, context: BuildContext, embedding: RadialEmbedding, num_features: int, *, first: bool) -> None:
        super().__init__()
        random: dict[str, Any] = {"dtype": context.model_dtype, "generator": context.generator}
        self.first = first
        self.filter = RadialNetwork(
            embedding, (embedding.bessel.roots.shape[0], num_features, 3 * num_features), **random
        )
        self.phi = ScalarMLP((num_features, num_features, 3 * num_features), **random)

    def forward(
        self, scalars: torch.Tensor, vectors: torch.Tensor, factor: float, edges: Edges
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Sums over neighbours for scalars [n_atoms, F] and vectors [n_atoms, 3, F]."""
        weights = self.phi(scalars).index_select(0, edges.neighbour) * self.filter(edges)
        to_scalars, to_vectors, along_edge = (factor * weights).chunk(3, dim=1)
        message = edges.attributes.unsqueeze(2) * along_edge.unsqueeze(1)
        if not self.first:  # vectors are zero before the first layer
            message = message + vectors.index_select(0, edges.neighbour) * to_vectors.unsqueeze(1)
        return (
            torch.zeros_like(scalars).index_add(0, edges.centre, to_scalars),
            torch.zeros_like(vectors).index_add(0, edges.centre, message),
        )


class Mix(torch.nn.Module):
    r"""Exchange between an atom's own scalars and vectors.

    .. math::
        s \mathrel{+}= a^{ss} + a^{sv} \langle U v, V v\rangle,\quad v \mathrel{+}= a^{vv}\, U v,
        \qquad a = \text{MLP}(s \oplus |V v|^2)

    (eqs. 9 and 10 of the paper, with the square of the norm, which is smooth at zero).
    """

    def __init__(self, context: BuildContext, num_features: int) -> None:
        super().__init__()
        random: dict[str, Any] = {"dtype": context.model_dtype, "generator": context.generator}
        self.u = normal_parameter((num_features, num_features), context.model_dtype, context.generator)
        self.v = normal_parameter((num_features, num_features), context.model_dtype, context.generator)
        self.mlp = ScalarMLP((2 * num_features, num_features, 3 * num_features), **random)
        self.scale = 1.0 / math.sqrt(num_features)

    def forward(self, scalars: torch.Tensor, vectors: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """New scalars [n_atoms, F] and vectors [n_atoms, 3, F]."""
        uv, vv = vectors @ (self.scale * self.u), vectors @ (self.scale * self.v)
        a_ss, a_sv, a_vv = self.mlp(torch.cat([scalars, vv.square().sum(1)], dim=1)).chunk(3, dim=1)
        return scalars + a_ss + a_sv * (uv * vv).sum(1), vectors + a_vv.unsqueeze(1) * uv


class PaiNNEnergy(EnergyModule):
    """Unscaled atomic energies.

    Args:
        context: Types, dtype and the source of the initial weights.
        num_layers: Number of message layers.
        num_features: Scalars, and vectors, of an atom.
        num_bessels: Radial functions.
        polynomial_cutoff_p: Exponent of the cutoff.
        avg_num_neighbors: Mean number of neighbours.
    """

    requires = ("edge_vectors", "edge_lengths", "normalized_edge_lengths", "edge_index", "atom_types")
    has_last_layer_features = True

    def __init__(
        self,
        context: BuildContext,
        *,
        num_layers: int,
        num_features: int,
        num_bessels: int,
        polynomial_cutoff_p: float,
        avg_num_neighbors: float,
    ) -> None:
        super().__init__()
        random: dict[str, Any] = {"dtype": context.model_dtype, "generator": context.generator}
        self.locality = f"hops({num_layers})"
        self.factor = 1.0 / math.sqrt(avg_num_neighbors)
        self.radial = RadialEmbedding(
            num_bessels, trainable=False, polynomial_cutoff_p=polynomial_cutoff_p, dtype=context.model_dtype
        )
        self.sent = TypeEmbedding(context.num_types, num_features, **random)
        self.received = TypeEmbedding(context.num_types, num_features, **random)
        self.messages = torch.nn.ModuleList(
            Message(context, self.radial, num_features, first=layer == 0) for layer in range(num_layers)
        )
        self.mixes = torch.nn.ModuleList(Mix(context, num_features) for _ in range(num_layers))
        self.exchange = GhostExchange()
        self.readout = ScalarMLP((num_features, num_features, 1), **random)
        self.features = f"{num_features}x0e+{num_features}x1o"

    def forward(self, data: Graph, *, features: bool = False) -> Graph:
        """Compute unscaled atomic energies [n_atoms], and on request the scalars and vectors of the last layer."""
        types = data["atom_types"]
        own = self.received(types)
        directions = (data["edge_vectors"] / data["edge_lengths"].unsqueeze(1)).to(own.dtype)
        edges = Edges(data["edge_index"], data["normalized_edge_lengths"], directions)
        scalars = torch.zeros_like(own)
        vectors = own.new_zeros(own.shape[0], 3, own.shape[1])
        spoken, carried = self.sent(types), vectors
        for message, mix in zip(self.messages, self.mixes, strict=True):
            if not message.first:  # what neighbours on other processes say
                spoken, carried = self.exchange(scalars), self.exchange(vectors.flatten(1)).view_as(vectors)
            to_scalars, to_vectors = message(spoken, carried, self.factor, edges)
            # The atom's own type decides what it makes of what it hears.
            scalars, vectors = mix(scalars + own * to_scalars, vectors + own.unsqueeze(1) * to_vectors)
        found = {"atomic_energy": self.readout(scalars).squeeze(1)}
        if features:
            found["node_features"] = torch.cat([scalars, vectors.flatten(1)], dim=1)
            found["last_layer_features"] = self.readout.last_inputs(scalars)
        return found

    def last_layer(self) -> torch.nn.Parameter:
        """The last weights of the readout, which has no bias."""
        return self.readout.last_weights
