"""Energy by volume of a crystal, and the Birch-Murnaghan equation of state."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from ase import units
from pydantic import Field

from equipot.errors import DataError, problem
from equipot.options import Options
from equipot_simulate._ensembles import Positive
from equipot_simulate._figures import BLUE, ORANGE, panels, save
from equipot_simulate._pacing import Pace
from equipot_simulate._relax import Relaxation, RelaxOptions

if TYPE_CHECKING:
    from ase import Atoms


@dataclass(frozen=True, kw_only=True)
class EosOptions(Options):
    """Which volumes, and what is relaxed."""

    points: Annotated[int, Field(ge=5)] = 9
    """Volumes."""

    width: Annotated[float, Field(gt=0, lt=0.5)] = 0.06
    """Largest relative change of the volume."""

    shape: Literal["fixed", "free"] = "fixed"
    """Whether the shape of the cell is relaxed at each volume; positions always are."""

    relax: Literal["none", "positions", "cell"] = "cell"
    """What is relaxed before."""

    fmax: Positive = 0.001
    """Largest force of all relaxations, eV/Å."""


@dataclass(frozen=True)
class EquationOfState:
    """What was found."""

    volumes: list[float]
    """Å³ of the cell."""
    energies: list[float]
    """eV."""
    frames: list[Atoms]
    """Relaxed structures."""
    parameters: tuple[float, float, float, float]
    """E0 in eV, B0 in eV/Å³, its derivative by pressure, V0 in Å³."""

    def record(self, number: int) -> dict[str, Any]:
        """As plain containers.

        Args:
            number: Atoms of the cell.
        """
        energy, bulk, derivative, volume = self.parameters
        return {
            "volume_a3": volume, "volume_a3_per_atom": volume / number, "energy_ev": energy,
            "energy_ev_per_atom": energy / number, "bulk_modulus_gpa": bulk / units.GPa,
            "bulk_modulus_derivative": derivative, "rmse_mev_per_atom": 1000.0 * self.rmse() / number,
            "volumes_a3": self.volumes, "energies_ev": self.energies,
        }  # fmt: skip

    def curve(self, volumes: Any) -> Any:
        """Energies of the fit, eV."""
        from ase.eos import birchmurnaghan

        return birchmurnaghan(volumes, *self.parameters)

    def rmse(self) -> float:
        """Of the fit, eV."""
        return float(np.sqrt(np.mean((self.curve(np.array(self.volumes)) - self.energies) ** 2)))


def equation_of_state(atoms: Atoms, options: EosOptions) -> EquationOfState:
    """Relax a crystal at several volumes and fit the energies.

    Args:
        atoms: With a calculator; not changed.
        options: Volumes and relaxation.

    Raises:
        DataError: If a relaxation does not converge, or the energy has no minimum within the volumes.
    """
    frames, volumes, energies = [], [], []
    pace = Pace("eos: volume", options.points)
    for index, factor in enumerate(np.linspace(1.0 - options.width, 1.0 + options.width, options.points)):
        copied = atoms.copy()
        copied.calc = atoms.calc
        copied.set_cell(atoms.cell.array * factor ** (1.0 / 3.0), scale_atoms=True)
        cell: Literal["constant-volume", "fixed"] = "constant-volume" if options.shape == "free" else "fixed"
        found = Relaxation(copied, RelaxOptions(fmax=options.fmax, steps=1000, cell=cell)).run()
        if not found["converged"]:
            raise DataError(problem(f"volume {copied.get_volume():.4g} Å³", "the relaxation did not converge"))
        volumes.append(float(copied.get_volume()))
        energies.append(float(found["energy_ev"]))
        frames.append(_stored(copied))
        pace.update(index + 1)
    return EquationOfState(volumes, energies, frames, _fit(volumes, energies))


def _fit(volumes: list[float], energies: list[float]) -> tuple[float, float, float, float]:
    from ase.eos import EquationOfState as Fit

    lowest = int(np.argmin(energies))
    outside = problem(
        "eos",
        f"the lowest energy is at the edge of the volumes, {volumes[lowest]:.4g} Å³",
        hint="relax the cell first (--relax cell), or take a larger --width",
    )
    if lowest in (0, len(volumes) - 1):
        raise DataError(outside)
    fit = Fit(volumes, energies, eos="birchmurnaghan")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fit.fit(warn=False)
    energy, bulk, derivative, volume = (float(one) for one in fit.eos_parameters)
    if not (np.isfinite([energy, bulk, derivative, volume]).all() and volumes[0] < volume < volumes[-1]):
        raise DataError(outside)
    return energy, bulk, derivative, volume


def _stored(atoms: Atoms) -> Atoms:
    from equipot_simulate._trajectory import with_results

    stored: Atoms = with_results(atoms)
    return stored


def draw(found: EquationOfState, path: Path, title: str) -> None:
    """The points and the fit.

    Args:
        found: Of ``equation_of_state``.
        path: PNG to write.
        title: Of the figure.
    """
    number = len(found.frames[0])
    record = found.record(number)
    volumes = np.linspace(found.volumes[0], found.volumes[-1], 200)
    lowest = found.parameters[0]
    figure, (axes,) = panels(1)
    axes.plot(volumes / number, 1e3 * (found.curve(volumes) - lowest) / number, color=BLUE, label="Birch-Murnaghan")
    axes.plot(np.array(found.volumes) / number, 1e3 * (np.array(found.energies) - lowest) / number, "o", color=ORANGE)
    axes.set_xlabel("volume per atom, Å³")
    axes.set_ylabel("energy per atom above the minimum, meV")
    axes.set_title(
        f"{title}: V0 = {record['volume_a3_per_atom']:.4g} Å³/atom, B0 = {record['bulk_modulus_gpa']:.4g} GPa"
    )
    save(figure, path)
