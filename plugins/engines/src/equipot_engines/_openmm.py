"""A model in OpenMM, through ``openmmml``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from equipot.errors import DataError, problem
from equipot_engines._calculators import base_class, calculator_for, missing

if TYPE_CHECKING:
    from collections.abc import Iterable

    import numpy as np
    from ase import Atoms

    from equipot_engines._calculators import Source

_WHERE = "OpenMMPotential"
_Potential = base_class("openmmml.mlpotential", "MLPotentialImpl")


class OpenMMPotential(_Potential):  # type: ignore[misc, valid-type] # it is not known to type checkers
    """A model as one force of an OpenMM system: of all its particles, or of some of them together with a force field.

    Example::

        from openmmml import MLPotential

        potential = MLPotential("equipot", model="water.equipot.zip")
        system = potential.createSystem(topology)
        mixed = potential.createMixedSystem(topology, mm_system, ml_atoms)

    Numbers are those of ``EquipotCalculator``, in OpenMM's units. The calculator's limit on forces, and a result that
    is not finite, end a run with an ``OpenMMException``; OpenMM shows no velocities to such forces, so that the limit
    on speeds does not apply.

    Args:
        model: A ``.ckpt``, ``.equipot.zip`` or ``.equipot.pt2`` file, a model, or an ``EquipotCalculator``, whose
            options such as ``types``, ``skin`` and ``max_force`` then hold.
        device: Where the model runs; default: the CPU, or where the calculator is.

    Raises:
        ArtifactError: If the file cannot be used.
        ConfigError: If the model has no forces, or reads more than atoms and cells.
        UnavailableError: If OpenMM or openmmml is not installed.
    """

    def __init__(self, model: Source, device: str | None = None) -> None:
        if _Potential is object:
            raise missing(_WHERE, "openmmml", "openmm")
        super().__init__()
        self.calculator = calculator_for(_WHERE, model, device)

    def getMLLongRange(self) -> bool:  # noqa: N802 - OpenMM's name
        """Whether the model has interactions without a cutoff, as its locality says."""
        return self.calculator.info.locality == "global"

    def addForces(  # noqa: N802 - OpenMM's name
        self,
        topology: Any,
        system: Any,
        atoms: Iterable[int] | None,
        forceGroup: int,
        **options: Any,
    ) -> None:
        """Add the force to a system; called by ``createSystem`` and ``createMixedSystem``.

        Args:
            topology: Of the system; its box says whether the model sees periodic images.
            system: An ``openmm.System``.
            atoms: Indices of the particles that the model is for; None: all.
            forceGroup: Of the force.
            **options: ``periodic`` overrides what the box says; others are for those who called.

        Raises:
            DataError: If an atom has no element, or one that the model does not know.
        """
        import copy

        import openmm
        from ase import Atoms

        particles = list(topology.atoms())
        chosen = particles if atoms is None else [particles[index] for index in atoms]
        if nameless := [str(atom) for atom in chosen if atom.element is None]:
            raise DataError(problem(_WHERE, "only elements have types in the model", got=nameless[:5]))
        periodic = options.get("periodic")
        periodic = topology.getPeriodicBoxVectors() is not None if periodic is None else bool(periodic)
        frame = Atoms([atom.element.atomic_number for atom in chosen], pbc=periodic)
        calculator = copy.deepcopy(self.calculator)  # with a neighbour list of its own
        if unknown := calculator.mapper.unsupported(_numbers(frame)):
            hint = f"supported: {calculator.mapper.supported}"
            raise DataError(problem(_WHERE, f"the model has no atom type for {unknown}", hint=hint))
        frame.calc = calculator
        force = openmm.PythonForce(_Compute(frame))
        force.setName("equipot")
        force.setForceGroup(forceGroup)
        force.setUsesPeriodicBoundaryConditions(periodic)
        if atoms is not None:
            force.setParticles([atom.index for atom in chosen])
        system.addForce(force)


def _numbers(frame: Atoms) -> dict[str, Any]:
    import torch

    return {"atomic_numbers": torch.from_numpy(frame.numbers)}


class _Compute:
    """Energy and forces of a state of OpenMM; it can be pickled, so that systems can be stored."""

    def __init__(self, frame: Atoms) -> None:
        self.frame = frame

    def __call__(self, state: Any) -> tuple[float, np.ndarray[Any, Any]]:
        """Energy in kJ/mol and forces in kJ/mol/nm, shape [n_particles, 3]."""
        from ase import units
        from openmm import unit

        self.frame.positions = state.getPositions(asNumpy=True).value_in_unit(unit.angstrom)
        if self.frame.pbc.any():
            self.frame.cell = state.getPeriodicBoxVectors(asNumpy=True).value_in_unit(unit.angstrom)
        factor = units.mol / units.kJ
        energy = self.frame.get_potential_energy() * factor
        return energy, self.frame.get_forces() * (factor * units.nm)
