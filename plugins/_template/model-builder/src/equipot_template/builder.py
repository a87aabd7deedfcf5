"""The model builder Template: its options, and the module that predicts atomic energies."""

import dataclasses
from typing import Annotated

import torch
from equipot.graph import Graph
from equipot.model import BuildContext, EnergyModule, ModelBuilder, pair_index
from equipot.nn.radial import RadialEmbedding
from pydantic import Field


class TemplateEnergy(EnergyModule):
    """Sums over neighbours: scalars, and vectors that enter by their squared lengths.

    With s_i = Σ_j w(r_ij) and v_i = Σ_j w'(r_ij) r_ij/|r_ij|, the energy of atom i is
    Σ_c a_c tanh(s_ic) + b_c tanh(|v_ic|²); the weights depend on the types.
    """

    requires = ("edge_vectors", "edge_lengths", "normalized_edge_lengths", "edge_index", "atom_types")
    """Fields that ``forward`` reads; see ``equipot.fields``."""

    locality = "strict"
    """Nothing beyond the cutoff matters; with message passing ``hops(k)``."""

    def __init__(self, context: BuildContext, width: int, num_bessels: int, avg_num_neighbors: float) -> None:
        """Draw the initial weights from ``context.generator``."""
        super().__init__()

        def normal(*shape: int) -> torch.nn.Parameter:
            return torch.nn.Parameter(torch.randn(shape, dtype=context.model_dtype, generator=context.generator))

        self.num_types, self.width = context.num_types, width
        scale = (num_bessels * avg_num_neighbors) ** -0.5
        dtype = context.model_dtype
        self.radial = RadialEmbedding(num_bessels, trainable=False, polynomial_cutoff_p=6.0, dtype=dtype, scale=scale)
        self.mixing = normal(self.num_types**2, num_bessels, 2 * width)
        self.readout = normal(self.num_types, 2 * width)

    def forward(self, data: Graph) -> Graph:
        """Unscaled energies of atoms, shape [n_atoms]."""
        (centre, neighbour), types = data["edge_index"], data["atom_types"]
        pair = pair_index(types.index_select(0, centre), types.index_select(0, neighbour), self.num_types)
        radial = self.radial(data["normalized_edge_lengths"])
        weights = torch.einsum("eb,ebc->ec", radial, self.mixing.index_select(0, pair))
        scalars, factors = weights[:, : self.width], weights[:, self.width :]
        directions = (data["edge_vectors"] / data["edge_lengths"].unsqueeze(1)).to(weights.dtype)
        vectors = factors.unsqueeze(2) * directions.unsqueeze(1)
        edges = torch.cat([scalars.unsqueeze(2), vectors], dim=2)  # [n_edges, width, 1 + 3]
        zeros = torch.zeros(types.shape[0], self.width, 4, dtype=edges.dtype, device=edges.device)
        atoms = zeros.index_add(0, centre, edges)
        features = torch.cat([atoms[:, :, 0], atoms[:, :, 1:].square().sum(2)], dim=1)
        return {"atomic_energy": (torch.tanh(features) * self.readout.index_select(0, types)).sum(1)}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Template(ModelBuilder):
    """Model builder Template."""

    width: Annotated[int, Field(ge=1, le=4096)] = 8
    """Number of scalars and of vectors of an atom."""

    num_bessels: Annotated[int, Field(ge=1, le=4096)] = 8
    """Number of radial functions."""

    avg_num_neighbors: Annotated[float, Field(gt=0)] = 20.0
    """Mean number of neighbours, for normalisation."""

    def build_energy(self, context: BuildContext) -> EnergyModule:
        """Make the energy module."""
        return TemplateEnergy(context, self.width, self.num_bessels, self.avg_num_neighbors)
