"""Ensembles of molecular dynamics, by ASE's integrators."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from ase import units
from pydantic import Field

from equipot.errors import ConfigError, problem
from equipot.options import Options

if TYPE_CHECKING:
    from ase import Atoms

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]


@dataclass(frozen=True, kw_only=True)
class Ensemble(Options):
    """What is held constant, and how."""

    ensemble: Literal["nve", "nvt", "npt"] = "nvt"
    """Constant energy, temperature, or temperature and pressure."""

    thermostat: Literal["langevin", "bussi", "nose-hoover"] = "langevin"
    """Of ``nvt``; ``npt`` has Nosé-Hoover chains."""

    temperature: Positive = 300.0
    """K; without a thermostat that of the first velocities."""

    timestep: Positive = field()
    """fs."""

    damping: Positive = 100.0
    """Time constant of the thermostat, fs; the friction of Langevin dynamics is its inverse."""

    pressure: Annotated[float, Field(allow_inf_nan=False)] = 0.0
    """GPa."""

    pressure_damping: Positive = 1000.0
    """Time constant of the barostat, fs."""

    cell: Literal["isotropic", "free"] = "isotropic"
    """What the barostat changes: the volume, or all cell vectors."""

    def problems(self) -> Iterable[str]:
        """Time constants that the time step cannot resolve."""
        yield from super().problems()
        for name in ("damping", "pressure_damping"):
            if getattr(self, name) < 2.0 * self.timestep:
                yield problem(name, "must be at least two time steps", got=getattr(self, name))

    @property
    def needs_stress(self) -> bool:
        """Whether the integrator reads it."""
        return self.ensemble == "npt"

    def dynamics(self, atoms: Atoms, rng: np.random.Generator) -> Any:
        """ASE's integrator for a structure with velocities and a calculator.

        Args:
            atoms: Moved by ``step()``; Langevin dynamics hold the centre of mass, unless other constraints are there.
            rng: For stochastic thermostats.

        Raises:
            ConfigError: If the structure has constraints that the integrator cannot keep, or has no volume.
        """
        step, damping = self.timestep * units.fs, self.damping * units.fs
        if self.ensemble == "npt":
            return self._npt(atoms, step, damping)
        if self.ensemble == "nve":
            from ase.md.verlet import VelocityVerlet

            return VelocityVerlet(atoms, step)
        if self.thermostat == "bussi":
            from ase.md.bussi import Bussi

            return Bussi(atoms, step, self.temperature, damping, rng=rng)
        if self.thermostat == "nose-hoover":
            from ase.md.nose_hoover_chain import NoseHooverChainNVT

            return NoseHooverChainNVT(atoms, step, self.temperature, damping)
        return self._langevin(atoms, step, rng)

    def _langevin(self, atoms: Atoms, step: float, rng: np.random.Generator) -> Any:
        from ase.constraints import FixCom
        from ase.md.langevin import Langevin

        if not atoms.constraints and len(atoms) > 1:
            atoms.set_constraint(FixCom())
        friction = 1.0 / (self.damping * units.fs)
        return Langevin(atoms, step, temperature_K=self.temperature, friction=friction, fixcm=False, rng=rng)

    def _npt(self, atoms: Atoms, step: float, damping: float) -> Any:
        from ase.md.nose_hoover_chain import MTKNPT, IsotropicMTKNPT

        if atoms.constraints:
            raise ConfigError(problem("--ensemble npt", "cannot keep the constraints of this structure"))
        if not atoms.pbc.all() or atoms.cell.rank < 3:
            raise ConfigError(problem("--ensemble npt", "needs a structure that is periodic in all three directions"))
        kind = IsotropicMTKNPT if self.cell == "isotropic" else MTKNPT
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            return kind(
                atoms,
                step,
                temperature_K=self.temperature,
                pressure_au=self.pressure * units.GPa,
                tdamp=damping,
                pdamp=self.pressure_damping * units.fs,
            )


def conserved_energy(dynamics: Any) -> float | None:
    """What the equations of motion conserve, eV; None for Langevin dynamics, which conserve nothing."""
    if hasattr(dynamics, "get_conserved_energy"):
        return float(dynamics.get_conserved_energy())
    if hasattr(dynamics, "fr"):
        return None
    return float(dynamics.atoms.get_total_energy()) - float(getattr(dynamics, "transferred_energy", 0.0))


def set_velocities(atoms: Atoms, temperature: float, rng: np.random.Generator) -> None:
    """Draw velocities at random, without a motion of the whole, and without a rotation unless periodic.

    Args:
        atoms: Changed.
        temperature: K.
        rng: Decides.
    """
    masses = atoms.get_masses()[:, None]
    momenta = rng.standard_normal((len(atoms), 3)) * np.sqrt(masses * units.kB * temperature)
    if len(atoms) > 1 and not atoms.constraints:
        momenta -= masses * momenta.sum(axis=0) / masses.sum()
    atoms.set_momenta(momenta)
    if len(atoms) > 2 and not atoms.constraints and not atoms.pbc.any():
        from ase.md.velocitydistribution import ZeroRotation

        ZeroRotation(atoms)
