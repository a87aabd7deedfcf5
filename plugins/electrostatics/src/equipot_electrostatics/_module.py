"""The modules of the term: charges from features of atoms, and their Coulomb energy."""

from __future__ import annotations

import math
from typing import ClassVar

import torch

from equipot.graph import Graph
from equipot.model import EnergyTermModule
from equipot.nn.cutoff import polynomial_cutoff
from equipot.nn.init import normal_parameter
from equipot.nn.irreps import FeatureLayout, Irrep
from equipot.nn.mlp import ScalarMLP
from equipot_electrostatics._coulomb import smeared_potentials

_SCALE = 0.3
"""Size of the initial charges in e: not 0, where the energy, a product of charges, would have no gradient."""


class Charges(torch.nn.Module):
    """Charges of atoms: a network of the scalar features, and a constant for each type.

    Args:
        features: Irreps of the features, with scalars.
        num_types: Number of atom types.
        hidden: Widths of the hidden layers.
        num_channels: Number of charges of each atom.
        constrained: Whether the charges of a frame have a given sum.
        of_types: Whether each type has a constant charge of its own in addition.
        dtype: Data type of the weights.
        generator: Source of the initial weights.
    """

    def __init__(
        self,
        features: str,
        *,
        num_types: int,
        hidden: tuple[int, ...],
        num_channels: int,
        constrained: bool,
        of_types: bool,
        dtype: torch.dtype,
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        self.layout = FeatureLayout.parse(features)
        self.scalars = self.layout.block(Irrep(0, 1))
        self.network = ScalarMLP((self.scalars.size, *hidden, num_channels), dtype=dtype, generator=generator)
        self.num_channels, self.constrained = num_channels, constrained
        self.of_types = normal_parameter((num_types, num_channels), dtype, generator) if of_types else None

    def forward(self, data: Graph) -> torch.Tensor:
        """Charges in e, float64, shape [n_atoms, num_channels].

        Args:
            data: ``node_features``, ``atom_types``, ``batch``, ``num_atoms``; with ``total_charge`` in e, the charges
                of the first channel have this sum. All other sums are 0 if the charges are constrained.
        """
        scalars = data["node_features"].narrow(1, self.scalars.start, self.scalars.size)
        charges = _SCALE * self.network(scalars).to(torch.float64)
        if self.of_types is not None:
            charges = charges + _SCALE * self.of_types.to(torch.float64).index_select(0, data["atom_types"])
        if not self.constrained:
            return charges
        n_frames = data["num_atoms"].shape[0]
        zeros = torch.zeros(n_frames, self.num_channels, dtype=torch.float64, device=charges.device)
        missing = zeros - zeros.index_add(0, data["batch"], charges)
        if "total_charge" in data:
            wanted = data["total_charge"].to(torch.float64).unsqueeze(1)
            missing = missing + torch.cat([wanted, zeros[:, 1:]], dim=1)
        return charges + (missing / data["num_atoms"].unsqueeze(1)).index_select(0, data["batch"])


class LatentElectrostaticsModule(EnergyTermModule):
    r"""Half of k · charge · potential for each atom, and what it costs to make its charge.

    The cost is the energy of the smeared charge with itself, :math:`k q^2 / \sqrt{2 \pi} \sigma`, for an atom with
    neighbours, and 0 for one without: then ions that screen each other have a mean energy of about 0 for charges of any
    size. Without the cost, larger charges would lower all energies by eV per atom, and training would keep
    charges small.

    Args:
        charges: Gives the charges.
        sigma: Width of the charges, Å.
        accuracy: Of the Ewald sum, see ``smeared_potentials``.
        constant: k in energy·Å.
    """

    requires: ClassVar[tuple[str, ...]] = (
        "node_features", "positions", "cell", "pbc", "atom_types", "batch", "num_atoms",
        "edge_index", "normalized_edge_lengths",
    )  # fmt: skip
    locality = "global"
    boundary = ("molecule", "bulk")

    def __init__(self, charges: Charges, *, sigma: float, accuracy: float, constant: float) -> None:
        super().__init__()
        self.charges = charges
        self.sigma, self.accuracy, self.constant = sigma, accuracy, constant

    def forward(self, data: Graph) -> torch.Tensor:
        """Energies to add to each atom, in the model's unit, float64, [n_atoms]."""
        charges = self.charges(data)
        geometry = (data[key] for key in ("positions", "cell", "pbc", "batch", "num_atoms"))
        potentials = smeared_potentials(charges, *geometry, sigma=self.sigma, accuracy=self.accuracy)
        cost = charges.square().sum(1) * bound(data) / (math.sqrt(2.0 * math.pi) * self.sigma)
        return self.constant * (0.5 * (charges * potentials).sum(1) + cost)


def bound(data: Graph) -> torch.Tensor:
    """From 0 for an atom without neighbours smoothly to 1 for one with several, float64, [n_atoms]."""
    weights = polynomial_cutoff(data["normalized_edge_lengths"], 6.0)
    zeros = torch.zeros(data["atom_types"].shape[0], dtype=weights.dtype, device=weights.device)
    return zeros.index_add(0, data["edge_index"][0], weights).tanh()


class LatentElectrostaticsOfGivenCharge(LatentElectrostaticsModule):
    """The same for frames that say their total charge."""

    requires = (*LatentElectrostaticsModule.requires, "total_charge")
