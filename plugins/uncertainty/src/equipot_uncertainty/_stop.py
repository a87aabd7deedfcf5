"""Stop molecular dynamics where a model becomes uncertain, and keep the frame."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
from ase import Atoms
from ase.io import write

from equipot.errors import ConfigError, EquipotError, problem

Quantity = Literal["energy_std", "energy_std_per_atom", "atomic_energy_std", "forces_std"]


class UncertainError(EquipotError):
    """An uncertainty is larger than allowed; the frame was saved."""


class StopWhenUncertain:
    """An observer for dynamics of ASE: saves frames whose uncertainty is too large, and ends the run.

    The frame goes to the end of a file, with the uncertainty in ``info`` and without labels, ready to be calculated.

    Example::

        dynamics.attach(StopWhenUncertain(atoms, "atomic_energy_std", 0.05), interval=10)
        try:
            dynamics.run(100_000)
        except UncertainError as end:
            print(end)

    Args:
        atoms: Those of the dynamics, with a calculator that gives the uncertainty.
        quantity: What is looked at: ``energy_std`` of the frame (eV), the same divided by the number of atoms, or the
            largest ``atomic_energy_std`` (eV) or ``forces_std`` (eV/Å) of an atom.
        threshold: Largest value that is allowed.
        path: File of the frames.
        stop: False: save only, and go on.

    Raises:
        ConfigError: If the threshold is not positive or the calculator does not give the quantity.
    """

    def __init__(
        self,
        atoms: Atoms,
        quantity: Quantity,
        threshold: float,
        path: str | Path = "uncertain.extxyz",
        *,
        stop: bool = True,
    ) -> None:
        if not threshold > 0.0:
            raise ConfigError(problem("StopWhenUncertain.threshold", "must be greater than 0", got=threshold))
        self._key = quantity.removesuffix("_per_atom")
        if self._key not in getattr(atoms.calc, "implemented_properties", ()):
            hint = "add uncertainties to the model with 'equipot uncertainty add'"
            raise ConfigError(problem("StopWhenUncertain.quantity", f"the calculator has no {self._key}", hint=hint))
        self.atoms, self.quantity, self.threshold = atoms, quantity, threshold
        self.path, self.stop = Path(path), stop
        self.saved = 0
        """Number of frames saved so far."""

    def value(self) -> float:
        """The quantity in the present frame."""
        found = np.max(self.atoms.calc.get_property(self._key, self.atoms))
        return float(found) / (len(self.atoms) if self.quantity.endswith("_per_atom") else 1)

    def __call__(self) -> None:
        """Look at the present frame.

        Raises:
            UncertainError: If its uncertainty is too large, unless the run is to go on.
        """
        value = self.value()
        if value <= self.threshold:
            return
        frame = self.atoms.copy()
        frame.info[self.quantity] = value
        write(self.path, frame, format="extxyz", append=True)
        self.saved += 1
        if self.stop:
            what = f"{self.quantity} is above {self.threshold:g}"
            hint = f"the frame is in {self.path}: calculate it, and train again"
            raise UncertainError(problem("StopWhenUncertain", what, got=f"{value:.4g}", hint=hint))
