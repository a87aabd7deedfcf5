r"""The term itself, on edges, so that it works for periodic cells and batches.

The reference data, counting and damping functions are those of tad-dftd3, whose own energy function
takes all pairs of a molecule and no cell.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from tad_dftd3.damping import rational_damping
from tad_dftd3.data import R4R2
from tad_dftd3.ncoord import exp_count
from tad_dftd3.reference import Reference
from tad_mctc.data.radii import COV_D3

from equipot.model import EnergyTermModule
from equipot.nn.exchange import GhostExchange
from equipot.units import UNIT_SYSTEMS, Units

if TYPE_CHECKING:
    from equipot.graph import Graph

BOHR = 0.529177210544
"""Å, CODATA 2022."""
HARTREE = 27.211386245981
"""eV, CODATA 2022."""
_WEIGHT_STEEPNESS = 4.0
"""Of the Gaussian weights of reference coordination numbers (k3 of Grimme et al. 2010)."""


class D3Module(EnergyTermModule):
    r"""Half of :math:`-S(r) \sum_{n=6,8} s_n C_n / (r^n + f^n)` for each directed edge, on its centre.

    :math:`f = a_1 \sqrt{C_8/C_6} + a_2`; :math:`C_6` is interpolated between reference systems by the
    coordination numbers of both atoms. S switches from 1 to 0 before the cutoff.

    Args:
        numbers: Atomic number of each type.
        parameters: s6, s8, a1 and a2 (Bohr).
        r_max: Cutoff radius, Å.
        switch_width: Where S falls, Å before r_max.
        units: The model's units.
    """

    requires = ("edge_lengths", "edge_index", "atom_types")
    locality = "hops(2)"  # the coordination number of a neighbour counts

    def __init__(
        self, numbers: tuple[int, ...], parameters: dict[str, float], r_max: float, switch_width: float, units: Units
    ) -> None:
        super().__init__()
        self.r_max, self.switch_width = r_max, switch_width
        self.num_types = len(numbers)
        self.to_energy = HARTREE / UNIT_SYSTEMS[units].energy_in_ev
        self.s6, self.s8 = parameters["s6"], parameters["s8"]
        self.exchange = GhostExchange()
        z = torch.tensor(numbers)
        reference = Reference(dtype=torch.float64)
        radii, r4r2 = COV_D3(dtype=torch.float64)[z], R4R2(dtype=torch.float64)[z]
        for name, table in {
            "reference_cn": reference.cn[z],  # [types, 7], -1 where there is none
            "reference_c6": reference.c6[z][:, z].flatten(0, 1),  # [types², 7, 7]
            "radii": (radii.unsqueeze(1) + radii).flatten(),  # Bohr, [types²]
            "ratio": (3.0 * r4r2.unsqueeze(1) * r4r2).flatten(),  # C8/C6, Bohr², [types²]
            "a1": torch.tensor(parameters["a1"], dtype=torch.float64),
            "a2": torch.tensor(parameters["a2"], dtype=torch.float64),
        }.items():
            self.register_buffer(name, table, persistent=False)

    def forward(self, data: Graph) -> torch.Tensor:
        """Energies to add to each atom, in the model's unit, float64, [n_atoms]."""
        centre, neighbour = data["edge_index"][0], data["edge_index"][1]
        types = data["atom_types"]
        pair = types.index_select(0, centre) * self.num_types + types.index_select(0, neighbour)
        r = data["edge_lengths"] / BOHR
        switch = self._switch(data["edge_lengths"])
        zeros = torch.zeros(types.shape[0], dtype=torch.float64, device=r.device)
        counts = exp_count(r, self.get_buffer("radii").index_select(0, pair)) * switch
        coordination = self.exchange(zeros.index_add(0, centre, counts).unsqueeze(1))
        weights = self._weights(coordination, types)
        c6 = self.get_buffer("reference_c6").index_select(0, pair)
        c6 = (c6 * weights.index_select(0, neighbour).unsqueeze(1)).sum(2)
        c6 = (c6 * weights.index_select(0, centre)).sum(1)
        ratio = self.get_buffer("ratio").index_select(0, pair)
        damping = {"a1": self.get_buffer("a1"), "a2": self.get_buffer("a2")}
        over_r6, over_r8 = (rational_damping(order, r, ratio, damping) for order in (6, 8))
        energy = -0.5 * self.to_energy * switch * c6 * (self.s6 * over_r6 + self.s8 * ratio * over_r8)
        return zeros.index_add(0, centre, energy)

    def _weights(self, coordination: torch.Tensor, types: torch.Tensor) -> torch.Tensor:
        """Normalised Gaussian weights of the reference systems of each atom, [n_atoms, 7].

        ``coordination`` are the atoms' coordination numbers, [n_atoms, 1].
        As a softmax, which is finite however far a coordination number is from all references.
        """
        reference = self.get_buffer("reference_cn").index_select(0, types)
        exponents = -_WEIGHT_STEEPNESS * (coordination - reference).square()
        return torch.softmax(exponents.masked_fill(reference < 0.0, -math.inf), dim=1)

    def _switch(self, lengths: torch.Tensor) -> torch.Tensor:
        """1 until ``r_max - switch_width``, 0 from ``r_max`` on, twice differentiable."""
        assert self.r_max is not None  # noqa: S101 - for the type checker
        t = ((lengths - self.r_max) / self.switch_width + 1.0).clamp(0.0, 1.0)
        return 1.0 - t**3 * (10.0 - 15.0 * t + 6.0 * t.square())
