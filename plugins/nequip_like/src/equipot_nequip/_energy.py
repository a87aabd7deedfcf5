"""The energy module of the NequIP model: embedding, interaction layers, readout."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from equipot.model import EnergyModule
from equipot.nn.edges import Edges
from equipot.nn.embedding import TypeEmbedding
from equipot.nn.irreps import FeatureLayout, Irrep
from equipot.nn.mlp import ScalarMLP
from equipot.nn.spherical import SphericalHarmonics
from equipot_nequip._interaction import InteractionLayer, LayerOptions

if TYPE_CHECKING:
    from equipot.graph import Graph


@dataclass(frozen=True, kw_only=True)
class ReadoutOptions:
    """The network from the last layer's scalars to the energy."""

    hidden_layers_depth: int
    hidden_layers_width: int | None
    """None means the number of scalars."""
    nonlinearity: str | None


class NequIPEnergy(EnergyModule):
    """Unscaled atomic energies from equivariant message passing.

    Args:
        num_types: Number of atom types.
        spherical: Spherical harmonics of the edges.
        feature_layouts: Wanted irreps of the features after each layer.
        options: Options that all layers share.
        readout: The network from scalars to the energy.
        avg_num_neighbors: Average number of neighbours of an atom of each type, shape [num_types].
        atomic_numbers: Of the types, if similar elements begin with similar embeddings.

    Source: Batzner et al. (2022), doi:10.1038/s41467-022-29939-5.
    """

    requires = ("edge_vectors", "edge_lengths", "normalized_edge_lengths", "edge_index", "atom_types")
    has_last_layer_features = True
    normalization: torch.Tensor

    def __init__(
        self,
        num_types: int,
        *,
        spherical: SphericalHarmonics,
        feature_layouts: list[FeatureLayout],
        options: LayerOptions,
        readout: ReadoutOptions,
        avg_num_neighbors: torch.Tensor,
        atomic_numbers: Sequence[int] | None = None,
    ) -> None:
        super().__init__()
        self.locality = f"hops({len(feature_layouts)})"
        self.num_types = num_types
        self.spherical, self.radial = spherical, options.radial
        self.type_embedding = TypeEmbedding(
            num_types,
            options.embedding_dim,
            dtype=options.dtype,
            generator=options.generator,
            atomic_numbers=atomic_numbers,
        )
        self.register_buffer("normalization", avg_num_neighbors.rsqrt().to(options.dtype), persistent=False)
        self.layers = torch.nn.ModuleList()
        layout = FeatureLayout([(options.embedding_dim, Irrep(0, 1))])
        layouts = []
        for index, wanted in enumerate(feature_layouts):
            layer = InteractionLayer(layout, wanted, options, self_connection=index > 0)
            self.layers.append(layer)
            layout = layer.layout_out
            layouts.append(layout)
        self.features = str(FeatureLayout((one.mul, one.irrep) for last in layouts[-2:] for one in last.blocks))
        width = readout.hidden_layers_width or layout.dim
        self.readout = ScalarMLP(
            (layout.dim, *[width] * readout.hidden_layers_depth, 1),
            nonlinearity=readout.nonlinearity,
            dtype=options.dtype,
            generator=options.generator,
        )

    def forward(self, data: Graph, *, features: bool = False) -> Graph:
        """Compute unscaled atomic energies [n_atoms].

        Features are the scalars of the last layer, then what that layer received: the layer has no others itself.
        """
        atom_types, dtype = data["atom_types"], self.normalization.dtype
        directions = data["edge_vectors"] / data["edge_lengths"].unsqueeze(1)
        attributes = self.spherical(directions).to(dtype)
        edges = Edges(data["edge_index"], data["normalized_edge_lengths"], attributes)
        types = (atom_types, self.type_embedding.weight)
        normalization = self.normalization.index_select(0, atom_types).unsqueeze(1)
        states = [self.type_embedding(atom_types)]
        for layer in self.layers:
            states.append(layer(states[-1], normalization, types, edges))
        found = {"atomic_energy": self.readout(states[-1]).squeeze(1)}
        if features:
            found["node_features"] = torch.cat([states[-1], *states[1:-1][-1:]], dim=1)  # both begin with 0e
            found["last_layer_features"] = self.readout.last_inputs(states[-1])
        return found

    def last_layer(self) -> torch.nn.Parameter:
        """The last weights of the readout, which has no bias."""
        return self.readout.last_weights
