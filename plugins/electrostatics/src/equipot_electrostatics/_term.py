"""The options of the term, and how they become its module."""

from __future__ import annotations

import dataclasses
from typing import Annotated, Literal

from pydantic import Field

from equipot.errors import ConfigError, problem
from equipot.model import BuildContext, EnergyTerm, EnergyTermModule
from equipot.nn.irreps import FeatureLayout, Irrep
from equipot.units import COULOMB_CONSTANT
from equipot_electrostatics._module import Charges, LatentElectrostaticsModule, LatentElectrostaticsOfGivenCharge


@dataclasses.dataclass(frozen=True, kw_only=True)
class LatentElectrostatics(EnergyTerm):
    """Coulomb energy of charges that are learned from energies and forces alone.

    A small network makes charges of the scalar features that the builder has for each atom. They act on each other at
    any distance: with an Ewald sum in frames that are periodic in all directions, over all pairs in molecules. Slabs
    and wires are refused. The charges are latent: they are what energies and forces ask for; nothing measures them.
    """

    citations = ("Cheng, Latent Ewald summation, npj Comput. Mater. 11, 80 (2025), arXiv:2408.15165",)

    sigma: Annotated[float, Field(gt=0)] = 1.0
    """Width of the charges, Å: charges at a distance r interact as erf(r / √2 sigma) / r. What happens at shorter
    distances is left to the model of the builder."""

    accuracy: Annotated[float, Field(gt=0, lt=0.1)] = 1e-4
    """The Ewald sum ends, smoothly, where its terms have fallen to this share of those of point charges."""

    constraint: Literal["neutral", "total_charge", "none"] = "neutral"
    """Sum of the charges of a frame: ``neutral`` for 0; ``total_charge`` for the data's field of that name, which every
    frame must then have; ``none`` for what the network gives. The difference is spread evenly over the atoms. A
    periodic frame with a net charge has a uniform background of the opposite charge."""

    per_type_charges: bool = True
    """Give each type a trainable constant charge in addition, so that ions without neighbours have a charge too."""

    num_channels: Annotated[int, Field(ge=1, le=16)] = 1
    """Number of independent charges of each atom, whose energies add up; a given total charge is that of the first."""

    mlp_depth: Annotated[int, Field(ge=0, le=8)] = 1
    """Number of hidden layers of the network."""

    mlp_width: Annotated[int, Field(ge=1)] = 32
    """Width of its hidden layers."""

    def build(self, context: BuildContext) -> EnergyTermModule:
        """Make the module.

        Raises:
            ConfigError: If the builder has no scalar features of atoms.
        """
        if context.node_features is None or Irrep(0, 1) not in FeatureLayout.parse(context.node_features):
            raise ConfigError(
                problem(
                    "LatentElectrostatics",
                    "needs scalar node_features, of which it makes charges",
                    got=context.node_features,
                    hint="take a builder that has them: 'equipot describe NAME' says which do",
                )
            )
        charges = Charges(
            context.node_features,
            num_types=context.num_types,
            hidden=(self.mlp_width,) * self.mlp_depth,
            num_channels=self.num_channels,
            constrained=self.constraint != "none",
            of_types=self.per_type_charges,
            dtype=context.model_dtype,
            generator=context.generator,
        )
        given = self.constraint == "total_charge"
        module = LatentElectrostaticsOfGivenCharge if given else LatentElectrostaticsModule
        constant = COULOMB_CONSTANT[context.units]
        return module(charges, sigma=self.sigma, accuracy=self.accuracy, constant=constant)
