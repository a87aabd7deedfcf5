"""A pair potential that binds: crystals of it are stable, which simulations in tests need."""

from __future__ import annotations

import dataclasses

import torch

from equipot.model import AnalyticPairPotential


@dataclasses.dataclass(frozen=True, kw_only=True)
class BoundPairs(AnalyticPairPotential):
    """Morse's function of the distance, the same for all elements.

    Source: Morse, Phys. Rev. 34, 57 (1929), DOI 10.1103/PhysRev.34.57.
    """

    depth: float = 0.35
    """Depth of the well in eV."""

    steepness: float = 1.4
    """Steepness of the well in 1/Å."""

    r_min: float = 2.8
    """Distance of the lowest energy in Å."""

    def pair_energy(self, r: torch.Tensor, type_i: torch.Tensor, type_j: torch.Tensor) -> torch.Tensor:
        """Energy of each pair in eV, shape [n_edges]."""
        return self.depth * ((1 - torch.exp(-self.steepness * (r - self.r_min))) ** 2 - 1)
