"""Many frames at once, with the checks that the ASE calculator makes of one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from ase import Atoms, units

from equipot.ase import SkinNeighbors
from equipot.errors import DataError, problem
from equipot.fields import FIELDS
from equipot.graph import Graph, non_finite, split
from equipot.units import in_ev

if TYPE_CHECKING:
    from equipot.ase import EquipotCalculator


class Batches:
    """Evaluates batches of frames with one call of the model.

    Each frame has a neighbour list with a skin of its own, which is kept as long as its atoms and cell allow.

    Args:
        calculator: Whose model, types, skin, device and limits hold.
        where: The class that asks, for messages.
    """

    def __init__(self, calculator: EquipotCalculator, where: str) -> None:
        self.calculator = calculator
        self.neighbors = SkinNeighbors(calculator.info, calculator.neighbors.skin)
        self._where = where
        outputs = [key for key in calculator.info.outputs if key in FIELDS and FIELDS[key].dtype == "float64"]
        self._factors = {key: in_ev(FIELDS[key].unit, calculator.info.units) for key in outputs}
        self._calculations = 0
        self._numbers = torch.empty(0, dtype=torch.int64)
        self._types = torch.empty(0, dtype=torch.int64)

    def evaluate(self, frames: Graph, momenta: torch.Tensor | None = None, masses: torch.Tensor | None = None) -> Graph:
        """Evaluate a batch.

        Args:
            frames: ``positions`` and ``cell`` (rows) in Å, ``pbc``, ``atomic_numbers``, ``batch`` in ascending order
                and ``num_atoms``, on any device; floating point numbers of any precision.
            momenta: In ASE's unit, shape [n_atoms, 3]; only to stop runaway dynamics.
            masses: In u, shape [n_atoms]; with momenta.

        Returns:
            The outputs of the model and its heads in eV and Å, on its device; with a stress also ``stress_mask``.

        Raises:
            DataError: On an element that the model does not know, a coordinate or an output that is not finite, or an
                atom beyond the limits of the calculator.
        """
        self._calculations += 1
        given = _plain(frames)
        if momenta is not None and masses is not None:
            self._check_speeds(given, momenta.detach().cpu(), masses.detach().cpu())
        batch = self.neighbors.update({**given, "atom_types": self._atom_types(given["atomic_numbers"])})
        outputs: Graph = self.calculator.model({key: value.to(self.calculator.device) for key, value in batch.items()})
        found = {key: value * self._factors[key] if key in self._factors else value for key, value in outputs.items()}
        self._check_outputs(given, found)
        return found

    def _atom_types(self, numbers: torch.Tensor) -> torch.Tensor:
        if not torch.equal(numbers, self._numbers):
            mapper = self.calculator.mapper
            if unknown := mapper.unsupported({"atomic_numbers": numbers}):
                what, hint = f"the model has no atom type for {unknown}", f"supported: {mapper.supported}"
                raise DataError(problem(self._where, what, hint=hint))
            self._numbers, self._types = numbers.clone(), mapper.types(numbers)
        return self._types

    def _check_speeds(self, frames: Graph, momenta: torch.Tensor, masses: torch.Tensor) -> None:
        limit = self.calculator.guard.max_temperature
        if limit is None:
            return
        kelvin = momenta.square().sum(1) / masses.clamp(min=1e-3) / (3.0 * units.kB)
        if not bool((kelvin <= limit).all()):
            for atoms, where in self._each(frames):
                atoms.set_masses(masses[: len(atoms)].numpy())
                atoms.set_momenta(momenta[: len(atoms)].numpy())
                momenta, masses = momenta[len(atoms) :], masses[len(atoms) :]
                self.calculator.guard.check_speeds(atoms, where)

    def _check_outputs(self, frames: Graph, outputs: Graph) -> None:
        guard = self.calculator.guard
        bad = non_finite(outputs)
        largest = outputs["forces"].square().sum(1).max().sqrt()
        if not bad and (guard.max_force is None or bool(largest <= guard.max_force)):
            return
        by_frame = split({**frames, **{key: value.cpu() for key, value in outputs.items()}})
        for (atoms, where), frame in zip(self._each(frames), by_frame, strict=True):
            guard.check_outputs(atoms, {key: frame[key] for key in outputs}, where)
            guard.check_forces(atoms, frame["forces"].numpy(), where)

    def _each(self, frames: Graph) -> list[tuple[Atoms, str]]:
        """All frames as ASE has them, with their place in messages."""
        return [
            (
                Atoms(
                    frame["atomic_numbers"].numpy(),
                    frame["positions"].numpy(),
                    cell=frame["cell"][0].numpy(),
                    pbc=frame["pbc"][0].numpy(),
                ),
                f"{self._where}, calculation {self._calculations}, frame {index}",
            )
            for index, frame in enumerate(split(frames))
        ]


def _plain(frames: Graph) -> Graph:
    """The fields on the CPU, contiguous and in the precision that neighbour lists have."""
    moved = {key: value.detach().cpu() for key, value in frames.items()}
    exact = {key: moved[key].to(torch.float64).contiguous() for key in ("positions", "cell")}
    return {**moved, **exact}
