"""The builder: the options users write, and how they become the energy module."""

from __future__ import annotations

import dataclasses
from typing import Annotated

from pydantic import Field

from equipot.model import BuildContext, EnergyModule, ModelBuilder
from equipot_painn._energy import PaiNNEnergy

Count = Annotated[int, Field(ge=1, le=4096)]


@dataclasses.dataclass(frozen=True, kw_only=True)
class PaiNNModel(ModelBuilder):
    """A PaiNN-like model: scalar and vector features, exchanged between neighbours.

    Source: Schütt, Unke, Gastegger (2021), arXiv:2102.03150.
    """

    node_features = "scalars and vectors after the last layer"

    num_layers: Count = 3
    """Number of message layers; an atom's energy depends on atoms up to num_layers · r_max away."""

    num_features: Count = 64
    """Number of scalars, and of vectors, that each atom has."""

    num_bessels: Count = 8
    """Number of radial functions."""

    polynomial_cutoff_p: Annotated[float, Field(ge=2)] = 6.0
    """Exponent p of the polynomial cutoff."""

    avg_num_neighbors: Annotated[float, Field(gt=0)] = 1.0
    """Mean number of neighbours, for normalisation; write ${training_data_stats:num_neighbors_mean}."""

    def build_energy(self, context: BuildContext) -> EnergyModule:
        """Make the energy module."""
        return PaiNNEnergy(
            context,
            num_layers=self.num_layers,
            num_features=self.num_features,
            num_bessels=self.num_bessels,
            polynomial_cutoff_p=self.polynomial_cutoff_p,
            avg_num_neighbors=self.avg_num_neighbors,
        )
