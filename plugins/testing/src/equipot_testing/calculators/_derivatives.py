"""Finite differences with steps that suit the rounding errors of a potential, which are measured here."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Literal

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ase import Atoms
    from numpy.typing import NDArray

    from equipot_testing.calculators.potentials import Potential

_STENCIL = ((-2.0, 1.0 / 12.0), (-1.0, -2.0 / 3.0), (1.0, 2.0 / 3.0), (2.0, -1.0 / 12.0))


@dataclasses.dataclass(frozen=True)
class Precision:
    """The precision of a potential, and the tolerances that follow from it."""

    dtype: Literal["float32", "float64"]
    noise: float
    """Rounding error of energies, eV."""
    step: float
    """Displacement in Å, and strain, for finite differences."""
    exact: float
    """Relative tolerance of exact laws."""
    differences: float
    """Relative tolerance of comparisons with finite differences."""

    @property
    def energy_floor(self) -> float:
        """Absolute tolerance of energies in eV, due to rounding."""
        return max(20.0 * self.noise, 1e-4 if self.dtype == "float32" else 0.0)

    @property
    def slope_floor(self) -> float:
        """Absolute tolerance of finite differences in eV/Å, due to rounding."""
        return 10.0 * self.noise / self.step


def measured_precision(potential: Potential, frame: Atoms, dtype: str = "auto") -> Precision:
    """Tell float32 from float64 by the rounding of energies.

    Energies at places 1e-6 Å apart lie on a cubic curve to within 1e-15 eV; larger deviations from it
    are rounding errors.

    Args:
        potential: The potential.
        frame: The frame to displace.
        dtype: ``auto``, or the known precision.
    """
    generator = np.random.default_rng(5)
    direction = generator.standard_normal(frame.positions.shape)
    places = np.arange(-4.0, 5.0)
    energies = potential.energies([moved(frame, 1e-6 * place * direction) for place in places])
    deviations = energies - energies.mean()
    strays = deviations - np.polyval(np.polyfit(places, deviations, 3), places)
    size = float(np.abs(energies).max())
    noise = float(np.abs(strays).max()) + 1e-16 * size
    single = noise > 1e-9 + 1e-13 * size if dtype == "auto" else dtype == "float32"
    if single:
        return Precision("float32", noise, step=2e-2, exact=2e-4, differences=5e-3)
    return Precision("float64", noise, step=1e-3, exact=1e-8, differences=1e-5)


def moved(frame: Atoms, displacement: NDArray[np.float64]) -> Atoms:
    """A copy with atoms displaced."""
    new = frame.copy()
    new.positions += displacement
    return new


def strained(frame: Atoms, strain: NDArray[np.float64]) -> Atoms:
    """A copy whose every vector r has become (1 + strain) r."""
    new = frame.copy()
    matrix = np.eye(3) + strain
    new.set_cell(np.asarray(frame.cell) @ matrix.T)
    new.set_positions(frame.positions @ matrix.T)
    return new


def _slopes(potential: Potential, step: float, variants: Sequence[Callable[[float], Atoms]]) -> NDArray[np.float64]:
    """dE/dx at 0 of one-parameter families of frames, [n_variants]."""
    frames = [variant(offset * step) for variant in variants for offset, _ in _STENCIL]
    energies = potential.energies(frames).reshape(len(variants), len(_STENCIL))
    slopes: NDArray[np.float64] = energies @ np.array([weight for _, weight in _STENCIL]) / step
    return slopes


def fd_forces(potential: Potential, frame: Atoms, step: float) -> NDArray[np.float64]:
    """Forces -dE/dR by four-point differences, eV/Å, [n_atoms, 3]."""

    def along(atom: int, axis: int) -> Callable[[float], Atoms]:
        unit = np.zeros((len(frame), 3))
        unit[atom, axis] = 1.0
        return lambda x: moved(frame, x * unit)

    variants = [along(atom, axis) for atom in range(len(frame)) for axis in range(3)]
    return -_slopes(potential, step, variants).reshape(-1, 3)


def fd_stress(potential: Potential, frame: Atoms, step: float) -> NDArray[np.float64]:
    """Stress dE/d(strain) / volume by four-point differences, eV/Å³, [3, 3]."""

    def along(row: int, column: int) -> Callable[[float], Atoms]:
        unit = np.zeros((3, 3))
        unit[row, column] += 0.5
        unit[column, row] += 0.5
        return lambda x: strained(frame, x * unit)

    pairs = [(row, column) for row in range(3) for column in range(row, 3)]
    slopes = _slopes(potential, step, [along(row, column) for row, column in pairs])
    stress = np.zeros((3, 3))
    for (row, column), slope in zip(pairs, slopes, strict=True):
        stress[row, column] = stress[column, row] = slope / frame.get_volume()
    return stress
