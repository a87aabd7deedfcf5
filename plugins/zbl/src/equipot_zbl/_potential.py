"""The ZBL pair energy as a function of distance and nuclear charges, and its options."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import Annotated, Literal

import torch
from pydantic import Field

from equipot.errors import ConfigError, problem
from equipot.model import BuildContext, PairEnergy, PairPotential
from equipot.nn.cutoff import polynomial_cutoff
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
    radii: torch.Tensor | None

    def __init__(
        self,
        atomic_numbers: tuple[int, ...],
        coulomb_constant: float,
        *,
        radii: tuple[float, ...] | None = None,
        polynomial_cutoff_p: float = 6.0,
    ) -> None:
        """Store the charges, the constant and where the repulsion ends.

        Args:
            atomic_numbers: Nuclear charge of each type.
            coulomb_constant: k in energy·Å, in the model's unit system.
            radii: Of each type in Å: a pair does not repel each other beyond the sum of its two; None: no such end.
            polynomial_cutoff_p: Exponent of the envelope that leads to this end.
        """
        super().__init__()
        self.register_buffer("charges", torch.tensor(atomic_numbers, dtype=torch.float64), persistent=False)
        table = None if radii is None else torch.tensor(radii, dtype=torch.float64)
        self.register_buffer("radii", table, persistent=False)
        self.coulomb_constant, self.polynomial_cutoff_p = coulomb_constant, polynomial_cutoff_p

    def forward(self, r: torch.Tensor, type_i: torch.Tensor, type_j: torch.Tensor) -> torch.Tensor:
        """Energy of each pair; see ``zbl_energy``."""
        charges, radii = self.charges, self.radii
        energy = zbl_energy(r, charges.index_select(0, type_i), charges.index_select(0, type_j), self.coulomb_constant)
        if radii is None:
            return energy
        end = radii.index_select(0, type_i) + radii.index_select(0, type_j)
        return energy * polynomial_cutoff(r / end, self.polynomial_cutoff_p)


@dataclasses.dataclass(frozen=True, kw_only=True)
class ZBL(PairPotential):
    """Screened nuclear repulsion that keeps atoms apart where training data are missing."""

    citations = ("Ziegler, Biersack, Littmark, The Stopping and Range of Ions in Matter, Pergamon (1985)",)

    units: Literal["metal", "real"]
    """Unit system: metal (eV, Å) or real (kcal/mol, Å); it must be that of the data."""

    chemical_species: list[str] | None = None
    """Chemical symbol of each type, in the order of ``type_names``; default: the model's species."""

    covalent_range: Annotated[float, Field(gt=0)] | None = None
    """Distance at which the repulsion of a pair ends, in sums of its covalent radii, with the same envelope as at the
    cutoff radius; with 1 it leaves bonds to what is learnt. Default: it reaches up to the cutoff radius."""

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
        from ase.data import atomic_numbers, covalent_radii

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
        factor = self.covalent_range
        radii = None if factor is None else tuple(factor * float(covalent_radii[number]) for number in numbers)
        return ZBLPairEnergy(
            numbers, COULOMB_CONSTANT[self.units], radii=radii, polynomial_cutoff_p=self.polynomial_cutoff_p
        )
