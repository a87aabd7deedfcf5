"""The ZBL pair energy as a function of distance and nuclear charges, and its options."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import Literal

import torch

from equipot.errors import ConfigError, problem
from equipot.model import BuildContext, PairEnergy, PairPotential
from equipot.units import COULOMB_CONSTANT

_COEFFICIENTS = (0.02817, 0.28022, 0.50986, 0.18175)
_EXPONENTS = (0.20162, 0.40290, 0.94229, 3.19980)
_SCREENING_LENGTH = 0.46850
_CHARGE_POWER = 0.23


def zbl_energy(r: torch.Tensor, z_i: torch.Tensor, z_j: torch.Tensor, coulomb_constant: float) -> torch.Tensor:
    r"""Screened nuclear repulsion of atom pairs.

    .. math:: E = k \frac{Z_i Z_j}{r}\,\phi(r/a), \qquad a = \frac{0.46850\,Å}{Z_i^{0.23} + Z_j^{0.23}}

    Args:
        r: Pair distances in Å, positive, shape [n_edges].
        z_i: Atomic numbers of the centres as floats, shape [n_edges].
        z_j: Atomic numbers of the neighbours as floats, shape [n_edges].
        coulomb_constant: k in energy·Å, see ``equipot.units.COULOMB_CONSTANT``.

    Returns:
        Full energy of each pair, shape [n_edges]; the unit of energy is that of k.

    Example:
        >>> carbon = torch.tensor([6.0], dtype=torch.float64)
        >>> zbl_energy(torch.tensor([1.0], dtype=torch.float64), carbon, carbon, 14.399645).shape
        torch.Size([1])

    Source: Ziegler, Biersack, Littmark, The Stopping and Range of Ions in Matter (1985); constants
    as documented for LAMMPS ``pair_style zbl``.
    """
    x = r * (z_i**_CHARGE_POWER + z_j**_CHARGE_POWER) / _SCREENING_LENGTH
    screening = torch.zeros_like(x)
    for coefficient, exponent in zip(_COEFFICIENTS, _EXPONENTS, strict=True):
        screening = screening + coefficient * torch.exp(-exponent * x)
    return coulomb_constant * z_i * z_j / r * screening


class ZBLPairEnergy(PairEnergy):
    """ZBL as a function of distance and atom types."""

    charges: torch.Tensor

    def __init__(self, atomic_numbers: tuple[int, ...], coulomb_constant: float) -> None:
        """Store the charges and the constant.

        Args:
            atomic_numbers: Nuclear charge of each type.
            coulomb_constant: k in energy·Å, in the model's unit system.
        """
        super().__init__()
        self.register_buffer("charges", torch.tensor(atomic_numbers, dtype=torch.float64), persistent=False)
        self.coulomb_constant = coulomb_constant

    def forward(self, r: torch.Tensor, type_i: torch.Tensor, type_j: torch.Tensor) -> torch.Tensor:
        """Energy of each pair; see ``zbl_energy``."""
        charges = self.charges
        return zbl_energy(r, charges.index_select(0, type_i), charges.index_select(0, type_j), self.coulomb_constant)


@dataclasses.dataclass(frozen=True, kw_only=True)
class ZBL(PairPotential):
    """Screened nuclear repulsion that keeps atoms apart where training data are missing."""

    citations = ("Ziegler, Biersack, Littmark, The Stopping and Range of Ions in Matter, Pergamon (1985)",)

    units: Literal["metal", "real"]
    """Unit system: metal (eV, Å) or real (kcal/mol, Å); it must be that of the data."""

    chemical_species: list[str] | None = None
    """Chemical symbol of each type, in the order of ``type_names``; default: the model's species."""

    def problems(self) -> Iterable[str]:
        """Unknown chemical symbols, and the problems of every pair potential."""
        from ase.data import atomic_numbers

        yield from super().problems()
        for symbol in self.chemical_species or ():
            if atomic_numbers.get(symbol, 0) < 1:
                yield problem(
                    "chemical_species",
                    f"{symbol!r} is not an element",
                    got=self.chemical_species,
                    hint="list chemical symbols",
                )

    def build_pair_energy(self, context: BuildContext) -> PairEnergy:
        """Build the pair function for the model's species.

        Raises:
            ConfigError: If the species are not given, and the type names are not chemical symbols.
        """
        from ase.data import atomic_numbers

        species = self.chemical_species or context.chemical_species
        if species is None:
            raise ConfigError(
                problem(
                    "pair_potential.chemical_species",
                    f"needed because the types {list(context.type_names)} are not elements",
                    hint="list one chemical symbol per type",
                )
            )
        numbers = tuple(atomic_numbers[symbol] for symbol in species)
        return ZBLPairEnergy(numbers, COULOMB_CONSTANT[self.units])
