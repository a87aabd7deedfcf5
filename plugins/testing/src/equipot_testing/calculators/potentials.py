"""A uniform interface for ASE calculators and torch-sim models."""

from __future__ import annotations

import dataclasses
import importlib
import os
import sys
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from equipot.errors import ConfigError, problem

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ase import Atoms

__all__ = ["ASEPotential", "Potential", "Results", "TorchSimPotential", "load_factory", "wrapped"]

Floats = NDArray[np.float64]


@dataclasses.dataclass(frozen=True)
class Results:
    """The results of a potential for one frame."""

    energy: float
    """eV."""
    forces: Floats
    """eV/Å, shape [n_atoms, 3]."""
    stress: Floats | None
    """eV/Å³, shape [3, 3], positive under tension; None if not available."""
    energies: Floats | None = None
    """Energies of atoms in eV, shape [n_atoms]; None if not available."""


class Potential(Protocol):
    """What the checks need of a potential."""

    batched: bool
    """Whether several frames are computed in one call."""

    def evaluate(self, frames: Sequence[Atoms]) -> list[Results]:
        """Results for some frames."""

    def energies(self, frames: Sequence[Atoms]) -> Floats:
        """Energies alone, eV, shape [n_frames]."""


class ASEPotential:
    """An ASE calculator."""

    batched = False

    def __init__(self, calculator: Any) -> None:
        """Wrap it.

        Args:
            calculator: Any object with ASE's ``get_property`` interface.
        """
        self.calculator = calculator

    def evaluate(self, frames: Sequence[Atoms]) -> list[Results]:
        """Energy, forces, stress and atomic energies of each frame, one after the other."""
        return [self._one(frame) for frame in frames]

    def energies(self, frames: Sequence[Atoms]) -> Floats:
        """Energies alone, eV, shape [n_frames]."""
        return np.array([float(self._attached(frame).get_potential_energy()) for frame in frames])

    def _attached(self, frame: Atoms) -> Atoms:
        frame.calc = self.calculator
        return frame

    def _one(self, frame: Atoms) -> Results:
        atoms = self._attached(frame)
        energy = float(atoms.get_potential_energy())
        forces = np.array(atoms.get_forces(), dtype=np.float64)
        stress = self._optional(lambda: atoms.get_stress(voigt=False))
        energies = self._optional(atoms.get_potential_energies)
        return Results(energy, forces, stress, energies)

    @staticmethod
    def _optional(get: Callable[[], Any]) -> Floats | None:
        from ase.calculators.calculator import PropertyNotImplementedError

        try:
            value = get()
        except (PropertyNotImplementedError, NotImplementedError):
            return None
        except ValueError as error:
            if "volume" in str(error) or "cell" in str(error):
                return None  # ASE's own helper divides by the volume of a missing cell
            raise
        return None if value is None else np.array(value, dtype=np.float64)


class TorchSimPotential:
    """A torch-sim model: ``forward(state) -> {"energy": …, "forces": …, "stress": …}`` for many systems at once."""

    batched = True

    def __init__(self, model: Any) -> None:
        """Wrap it.

        Args:
            model: A ``torch_sim.models.interface.ModelInterface``.
        """
        self.model = model

    def evaluate(self, frames: Sequence[Atoms]) -> list[Results]:
        """Energy, forces and stress of all frames in one call."""
        output = self._call(frames)
        ends = np.cumsum([len(frame) for frame in frames])
        forces = np.split(output["forces"], ends[:-1])
        stress = output.get("stress")
        return [
            Results(float(output["energy"][index]), forces[index], None if stress is None else stress[index])
            for index in range(len(frames))
        ]

    def energies(self, frames: Sequence[Atoms]) -> Floats:
        """Energies alone, eV, shape [n_frames]."""
        return self._call(frames)["energy"]

    def _call(self, frames: Sequence[Atoms]) -> dict[str, Floats]:
        convert = importlib.import_module("torch_sim.io").atoms_to_state
        state = convert(list(frames), self.model.device, self.model.dtype)
        output = self.model(state)
        return {key: np.array(value.detach().cpu(), dtype=np.float64) for key, value in output.items()}


def load_factory(path: str) -> Callable[[], Any]:
    """The function that makes a calculator.

    Args:
        path: ``module:factory``; the module may be in the current folder.

    Returns:
        The function; it takes no arguments.

    Raises:
        ConfigError: If there is none.
    """
    where = "--calculator"
    module_name, _, attribute = path.partition(":")
    if not attribute:
        raise ConfigError(problem(where, "must be module:factory", got=path))
    if os.getcwd() not in sys.path:  # noqa: PTH109 - compared with strings
        sys.path.insert(0, os.getcwd())  # noqa: PTH109
    try:
        factory: Callable[[], Any] = getattr(importlib.import_module(module_name), attribute)
    except (ImportError, AttributeError) as error:
        hint = "the module is looked for in the current folder and among the installed packages"
        raise ConfigError(problem(where, f"cannot be imported: {error}", got=path, hint=hint)) from error
    return factory


def wrapped(made: Any, path: str) -> Potential:
    """Wrap a calculator or model in the uniform interface.

    Args:
        made: An ASE calculator, a torch-sim model, or a ``Potential``.
        path: Its origin, for error messages.

    Raises:
        ConfigError: If it is none of these.
    """
    if hasattr(made, "evaluate") and hasattr(made, "energies"):
        potential: Potential = made
        return potential
    if hasattr(made, "get_property") or hasattr(made, "get_potential_energy"):
        return ASEPotential(made)
    if hasattr(made, "forward") and hasattr(made, "memory_scales_with"):
        return TorchSimPotential(made)
    hint = "the factory must return an ASE calculator or a torch-sim model"
    raise ConfigError(problem("--calculator", "makes no calculator", got=f"{path} -> {type(made).__name__}", hint=hint))
