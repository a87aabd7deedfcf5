"""Stop runaway dynamics: limits on the force and the speed of single atoms, and no number that is not finite."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any

import numpy as np
from ase import units
from pydantic import Field

from equipot.errors import DataError, problem
from equipot.graph import Graph, non_finite
from equipot.options import Options

_HINT = "the time step is too long, atoms are too close, or the frame is far from the training data"
_ATOMIC = ("atomic_energy", "forces")


@dataclass(frozen=True, kw_only=True)
class Guard(Options):
    """Limits for single atoms; None switches one off. ``where`` is the place that messages start with."""

    max_force: Annotated[float, Field(gt=0)] | None = field(default=1e6)
    """Largest force, eV/Å."""

    max_temperature: Annotated[float, Field(gt=0)] | None = field(default=1e6)
    """Largest kinetic energy as a temperature, K: 2/3 of it over Boltzmann's constant."""

    def check_speeds(self, atoms: Any, where: str) -> None:
        """Check the momenta of a frame, if it has any.

        Raises:
            DataError: Naming the fastest atom.
        """
        momenta = atoms.arrays.get("momenta")
        if self.max_temperature is None or momenta is None:
            return
        masses = np.maximum(atoms.get_masses(), 1e-3)  # u; atoms may have no mass at all
        kelvin = (momenta * momenta).sum(axis=1) / masses / (3.0 * units.kB)
        fastest = int(kelvin.argmax())
        if not kelvin[fastest] <= self.max_temperature:
            limit = f"max_temperature={self.max_temperature:g}"
            what = f"moves with a kinetic energy of {kelvin[fastest]:.3g} K, more than {limit}"
            hint = f"{_HINT}; max_temperature=None switches this limit off"
            raise DataError(problem(where, f"{_named(atoms, fastest)} {what}", hint=hint))

    def check_outputs(self, atoms: Any, outputs: Graph, where: str) -> None:
        """Refuse outputs that are not finite.

        Raises:
            DataError: Naming the outputs, and the first atom if there is one.
        """
        if not (bad := non_finite(outputs)):
            return
        per_atom = [outputs[key].reshape(len(atoms), -1) for key in _ATOMIC if key in outputs]
        found = [np.flatnonzero(~values.isfinite().all(1)) for values in per_atom]
        first = min((int(indices[0]) for indices in found if len(indices)), default=None)
        at = "" if first is None else f"; the first is {_named(atoms, first)}"
        raise DataError(problem(where, f"the model gives non-finite {bad}{at}", hint=_HINT))

    def check_forces(self, atoms: Any, forces: np.ndarray[Any, Any], where: str) -> None:
        """Check the forces of a frame in eV/Å, shape [n_atoms, 3].

        Raises:
            DataError: Naming the atom with the largest one.
        """
        if self.max_force is None:
            return
        squares = np.square(forces, dtype=np.float64).sum(axis=1)
        largest = int(squares.argmax())
        if not squares[largest] <= self.max_force**2:
            what = f"has a force of {squares[largest] ** 0.5:.3g} eV/Å, more than max_force={self.max_force:g}"
            hint = f"{_HINT}; max_force=None switches this limit off"
            raise DataError(problem(where, f"{_named(atoms, largest)} {what}", hint=hint))


def _named(atoms: Any, index: int) -> str:
    x, y, z = atoms.positions[index]
    return f"atom {index} ({atoms.symbols[index]}) at ({x:.4g}, {y:.4g}, {z:.4g}) Å"
