"""The head: charges of atoms from scalar features, and a vector of each atom where the builder has vector features."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from equipot.model import OutputHead
from equipot.nn.init import normal_parameter
from equipot.nn.irreps import FeatureLayout, Irrep

if TYPE_CHECKING:
    from equipot.graph import Graph

SCALARS, VECTORS = Irrep(0, 1), Irrep(1, -1)


class Dipoles(OutputHead):
    r"""Dipole moments and partial charges of molecules.

    .. math::
        \mu = \sum_i q_i (r_i - R) + \sum_i v_i, \qquad q_i = \tilde q_i + \frac{Q - \sum_j \tilde q_j}{N}

    with unconstrained charges from scalar features, vectors v from vector features, the total charge Q of the frame,
    and the centre of mass R as origin. For Q = 0 the origin does not matter.

    Args:
        layout: Of the node features.
        masses: Mass of each type; any positive numbers for neutral frames.
        charged: Whether frames have a total charge; else Q = 0.
        dtype: Of the weights.
        generator: Source of the initial weights.
    """

    provides = ("dipole", "charges")
    sums = ("dipole",)
    locality = "global"
    boundary = ("molecule",)
    masses: torch.Tensor

    def __init__(
        self,
        layout: FeatureLayout,
        masses: torch.Tensor,
        *,
        charged: bool,
        dtype: torch.dtype,
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        self.layout, self.charged = layout, charged
        fields = ("node_features", "positions", "atom_types", "batch", "num_atoms")
        self.requires = (*fields, "total_charge") if charged else fields
        self.register_buffer("masses", masses.to(torch.float64), persistent=False)
        self.type_charges = torch.nn.Parameter(torch.zeros(len(masses), dtype=dtype))
        self.charge_weights, self.vector_weights = (
            normal_parameter((layout.mul(irrep),), dtype, generator) for irrep in (SCALARS, VECTORS)
        )
        self.scale = tuple(layout.mul(irrep) ** -0.5 if irrep in layout else 0.0 for irrep in (SCALARS, VECTORS))

    def forward(self, data: Graph) -> Graph:
        """Charges [n_atoms] in e, and the part of each atom in the dipole moment [n_atoms, 3] in e Å."""
        charges = self._charges(data)
        parts = charges.unsqueeze(1) * (data["positions"] - self._origin(data).index_select(0, data["batch"]))
        if VECTORS in self.layout:
            vectors = self.layout.view(data["node_features"], self.layout.block(VECTORS))
            parts = parts + (vectors @ (self.scale[1] * self.vector_weights)).to(torch.float64)
        return {"dipole": parts, "charges": charges}

    def _charges(self, data: Graph) -> torch.Tensor:
        """Charges with the sum of the frame's, float64, [n_atoms]."""
        free = self.type_charges.index_select(0, data["atom_types"])
        if SCALARS in self.layout:
            scalars = self.layout.view(data["node_features"], self.layout.block(SCALARS)).squeeze(1)
            free = free + scalars @ (self.scale[0] * self.charge_weights)
        free = free.to(torch.float64)
        missing = -_sums(free, data)
        if self.charged:
            missing = missing + data["total_charge"].to(torch.float64)
        return free + (missing / data["num_atoms"]).index_select(0, data["batch"])

    def _origin(self, data: Graph) -> torch.Tensor:
        """Centre of mass of each frame in Å, [n_frames, 3]."""
        masses = self.masses.index_select(0, data["atom_types"])
        weighted = _sums(masses.unsqueeze(1) * data["positions"], data)
        return weighted / _sums(masses, data).unsqueeze(1)


def _sums(values: torch.Tensor, data: Graph) -> torch.Tensor:
    """Sum over the atoms of each frame."""
    shape = (data["num_atoms"].shape[0], *values.shape[1:])
    return torch.zeros(shape, dtype=values.dtype, device=values.device).index_add(0, data["batch"], values)
