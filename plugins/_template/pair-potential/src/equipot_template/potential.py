"""The pair potential Template: Morse's function of the distance, and its options."""

import dataclasses

import torch
from equipot.model import AnalyticPairPotential


def template_energy(r: torch.Tensor, depth: float, steepness: float, r_min: float) -> torch.Tensor:
    r"""Energy of pairs of atoms.

    .. math:: E = D\left[\left(1 - e^{-a(r - r_0)}\right)^2 - 1\right]

    Args:
        r: Distances in Å, float64, shape [n_edges].
        depth: D in eV.
        steepness: a in 1/Å.
        r_min: Distance of the lowest energy, in Å.

    Returns:
        Full energy of each pair in eV, float64, shape [n_edges]. Not halved and without a cutoff: equipot does both.

    Source: Morse, Phys. Rev. 34, 57 (1929), DOI 10.1103/PhysRev.34.57.
    """
    return depth * ((1 - torch.exp(-steepness * (r - r_min))) ** 2 - 1)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Template(AnalyticPairPotential):
    """Pair potential Template."""

    depth: float = 0.5
    """Depth of the well in eV."""

    steepness: float = 1.5
    """Steepness of the well in 1/Å."""

    r_min: float = 1.6
    """Distance of the lowest energy in Å."""

    def pair_energy(self, r: torch.Tensor, type_i: torch.Tensor, type_j: torch.Tensor) -> torch.Tensor:
        """Energy of each pair, the same for all types."""
        return template_energy(r, self.depth, self.steepness, self.r_min)
