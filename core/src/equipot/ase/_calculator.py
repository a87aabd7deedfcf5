"""The ASE calculator, for checkpoints, packages, compiled files and models.

ASE always gets eV and Å, even from a model that was trained in other units.
"""

from __future__ import annotations

import copy
import dataclasses
import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from ase import Atoms
from ase.calculators.calculator import Calculator, PropertyNotImplementedError, all_changes
from ase.stress import full_3x3_to_voigt_6_stress

from equipot.artifacts._checkpoint import Weights
from equipot.artifacts._compiled_model import CompiledModel
from equipot.artifacts._loading import load, usable_device
from equipot.ase import _evaluate_in_parts as in_parts
from equipot.ase._guard import Guard
from equipot.ase._skin import SkinNeighbors
from equipot.ase._stresses import atomic_stresses, edge_force_model, stresses_refusal
from equipot.ase._travel import ByValue
from equipot.ase._turns import Turns
from equipot.data._frames import LabelSource, finite_positions, frame_from_atoms
from equipot.data.transforms import ChemicalSpeciesToAtomTypeMapper
from equipot.errors import ConfigError, DataError, problem
from equipot.fields import FIELDS, OPTIONAL_INPUTS
from equipot.graph import Graph
from equipot.model._automatic import AutomaticModifiers, apply_automatic
from equipot.model._context import ModelInfo
from equipot.model._graph_model import GraphModel
from equipot.options import from_mapping
from equipot.units import UNIT_SYSTEMS, in_ev

logger = logging.getLogger(__name__)

_WHERE = "EquipotCalculator"
_READ: dict[str, Callable[[Any], Any]] = {
    "positions": lambda atoms: atoms.positions,
    "numbers": lambda atoms: atoms.numbers,
    "cell": lambda atoms: atoms.cell.array,
    "pbc": lambda atoms: atoms.pbc,
}
"""What a model reads from a frame, under ASE's names."""


class EquipotCalculator(Calculator):
    """Energies, forces and stress of a model in ASE.

    ``implemented_properties`` are those that the model has, with those of its heads under the names that their fields
    have in ASE (``get_dipole_moment()``, ``get_charges()``, ``results["…"]``); a stress also needs a periodic frame.
    ``stresses`` are those of atoms, whose sum is the stress: half of an edge's share goes to either end
    (``equipot.model.atomic_virials``).

    Calculators can be pickled and copied: a compiled model travels as the absolute path and the digest of its file,
    which is loaded at the first calculation; any other model travels as a whole. Threads that share a calculator
    wait for each other.

    Example::

        atoms.calc = EquipotCalculator("water.equipot.zip")
        atoms.get_potential_energy()

    Args:
        model: A ``.ckpt``, ``.equipot.zip`` or ``.equipot.pt2`` file, or a model, which is copied.
        device: Where to run.
        skin: Width in Å added to the cutoff of the stored neighbour list, which is renewed when an atom has moved by
            half of it. Results do not depend on it; 0 makes a list at every step.
        weights: Which weights of a checkpoint: ``ema`` (if present) or ``raw``.
        types: Chemical symbol to type name; needed if type names are not elements or several are of one element.
        allow_native: Also load a compiled file that you did not build yourself.
        max_force: Largest force of an atom in eV/Å, beyond which a calculation is an error; None for no limit.
        max_temperature: Largest kinetic energy of an atom, as a temperature in K, for frames with momenta; None for no
            limit.
        automatic_modifiers: Apply what installed plugins declare as automatic, such as compiled kernels, unless the
            model is a compiled file: faster, with the same results up to rounding. ``calculator.automatic`` says what
            was chosen.

    Raises:
        ArtifactError: If the file cannot be used.
        ConfigError: If symbols cannot be mapped to types, or the device cannot be used.
    """

    name = "equipot"
    implemented_properties: ClassVar[list[str]] = ["energy", "free_energy", "energies", "forces", "stress", "stresses"]  # type: ignore[misc]

    def __init__(  # noqa: PLR0913 - independent options, most of them by name
        self,
        model: str | Path | GraphModel | CompiledModel,
        device: str | torch.device = "cpu",
        *,
        skin: float = 0.5,
        weights: Weights = "ema",
        types: Mapping[str, str] | None = None,
        allow_native: bool = False,
        max_force: float | None = 1e6,
        max_temperature: float | None = 1e6,
        automatic_modifiers: bool = True,
    ) -> None:
        self._turns = Turns()
        super().__init__()  # type: ignore[no-untyped-call]
        if not skin >= 0.0:
            raise ConfigError(problem(f"{_WHERE}.skin", "must be at least 0", got=skin))
        self.guard = from_mapping(Guard, {"max_force": max_force, "max_temperature": max_temperature}, _WHERE)
        self.device = usable_device(device)
        self.model = _loaded(model, self.device, weights, allow_native=allow_native)
        self.automatic = AutomaticModifiers()
        if isinstance(self.model, GraphModel):
            self.model, self.automatic = apply_automatic(self.model, self.device, enabled=automatic_modifiers)
            if self.automatic.line:
                logger.info("%s", self.automatic.line)
        self.info: ModelInfo = self.model.info
        own = [name for name in ("forces", "stress") if name in self.info.outputs]
        self._no_stresses = stresses_refusal(self.model)
        more = [] if self._no_stresses else ["stresses"]
        self._of_heads = _ase_properties(self.info)
        self.implemented_properties = ["energy", "free_energy", "energies", *own, *more, *self._of_heads]  # type: ignore[misc]
        self._mapper = ChemicalSpeciesToAtomTypeMapper(list(self.info.type_names), _symbol_to_type(self.info, types))
        self.neighbors = SkinNeighbors(self.info, skin)
        self._contract = {key: LabelSource(key) for key in OPTIONAL_INPUTS if key in self.info.inputs}
        self._kept: tuple[Atoms, Graph] | None = None
        self._with_edge_forces: GraphModel | CompiledModel | None = None
        self._calculations = 0
        self._arrived = False

    @property
    def mapper(self) -> ChemicalSpeciesToAtomTypeMapper:
        """Which of the model's types each element is."""
        return self._mapper

    def __getstate__(self) -> dict[str, Any]:
        """All except what a copy has to make itself: its lock, and the frame that is kept with its edges."""
        with self._turns.one():
            state = {**self.__dict__, "_kept": None, "_with_edge_forces": None}
            state["_mapper"] = dataclasses.replace(self._mapper)  # without its table
        del state["_turns"]
        if isinstance(self.model, torch.nn.Module):
            state["model"] = ByValue(self.model)
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Nothing here can fail: if it did while a worker reads its task, some pools would wait for ever."""
        self.__dict__.update(state, _turns=Turns(), _arrived=True)
        if isinstance(self.model, ByValue):
            self.model = self.model.model

    @property
    def atoms(self) -> Any:
        """The last frame; a ConfigError if another thread has used the calculator since the calling one did."""
        return self._last("atoms")

    @atoms.setter
    def atoms(self, atoms: Any) -> None:
        with self._turns.one():
            self._atoms = atoms

    @property
    def results(self) -> Any:
        """The results of the last frame; a ConfigError as for ``atoms``."""
        return self._last("results")

    @results.setter
    def results(self, results: dict[str, Any]) -> None:
        with self._turns.one():
            self._results = results
            self._turns.leave_something()

    def _last(self, name: str) -> Any:
        with self._turns.one():
            self._turns.require_own(f"{_WHERE}.{name}")
            return getattr(self, f"_{name}")

    def calculate(
        self,
        atoms: Atoms | None = None,
        properties: Sequence[str] = ("energy",),
        system_changes: Sequence[str] = tuple(all_changes),
    ) -> None:
        """Evaluate all properties of the model at once, stresses of atoms only if they are asked for.

        Args:
            atoms: The frame; default: the previous one.
            properties: The properties that ASE asks for.
            system_changes: The changes that ASE saw; not used.

        Raises:
            DataError: On an element that the model does not know, a non-finite output, or an atom beyond the limits.
        """
        with self._turns.one():
            given = self.atoms if atoms is None else atoms
            with self._turns.about_a_frame():
                self.results = {}  # none, if what follows fails
                if self.check_state(given):
                    self.atoms = given.copy()  # ASE compares the next frame with it, and the caller may change its own
                self._calculations += 1
                self.guard.check_speeds(given, self._where())
                self.results = self._calculate(stresses="stresses" in properties)

    def _where(self) -> str:
        return f"{_WHERE}, calculation {self._calculations}"

    def _calculate(self, *, stresses: bool) -> dict[str, Any]:
        if self._arrived and isinstance(self.model, torch.nn.Module):
            self.model.to(usable_device(self.device))
        self._arrived = False
        frame = self._frame(self.atoms)
        model = self.model
        if stresses and not self._no_stresses:
            model = self._with_edge_forces = self._with_edge_forces or edge_force_model(self.model)
        outputs = in_parts.evaluate(model, {key: value.to(self.device) for key, value in frame.items()})
        outputs = {key: value.cpu() for key, value in outputs.items()}
        self.guard.check_outputs(self.atoms, outputs, self._where())
        results = self._in_ase_units(outputs)
        if stresses and "stress" in results and not self._no_stresses:
            results["stresses"] = atomic_stresses(frame, outputs, UNIT_SYSTEMS[self.info.units].energy_in_ev)
        if "forces" in results:
            self.guard.check_forces(self.atoms, results["forces"], self._where())
        return results

    def check_state(self, atoms: Atoms, tol: float = 1e-15) -> list[str]:
        """What differs from the last frame, compared exactly; charges and magnetic moments of atoms are not read."""
        with self._turns.one():
            return list(all_changes) if self._atoms is None else self._changes(self._atoms, atoms)

    def _changes(self, old: Any, new: Any) -> list[str]:
        changes = [name for name, array in _READ.items() if not np.array_equal(array(old), array(new))]
        return changes + [key for key in self._contract if not np.array_equal(old.info.get(key), new.info.get(key))]

    def _frame(self, atoms: Any) -> Graph:
        """The frame with its edges; along a trajectory only positions and edges are renewed."""
        if self._kept is not None and set(self._changes(self._kept[0], atoms)) <= {"positions"}:
            return self.neighbors.update({**self._kept[1], "positions": finite_positions(atoms, _WHERE)})
        frame, _ = frame_from_atoms(atoms, self._contract, _WHERE)
        if unknown := self._mapper.unsupported(frame):
            hint = f"supported: {self._mapper.supported}"
            raise DataError(problem(_WHERE, f"the model has no atom type for {unknown}", hint=hint))
        frame = self._mapper(frame)
        self._kept = (atoms, frame)
        return self.neighbors.update(frame)

    def _in_ase_units(self, outputs: Graph) -> dict[str, Any]:
        factor = UNIT_SYSTEMS[self.info.units].energy_in_ev
        energy = float(outputs["total_energy"][0]) * factor
        energies = outputs["atomic_energy"].numpy() * factor
        results: dict[str, Any] = {"energy": energy, "free_energy": energy, "energies": energies}
        if "forces" in outputs:
            results["forces"] = outputs["forces"].numpy() * factor
        if "stress" in outputs and bool(outputs["stress_mask"][0]):
            results["stress"] = full_3x3_to_voigt_6_stress(outputs["stress"][0].numpy() * factor)
        for name, (key, of_frame, scale) in self._of_heads.items():
            value = outputs[key].numpy()[0] if of_frame else outputs[key].numpy()
            results[name] = value if scale is None else value * scale
        return results

    def get_property(self, name: str, atoms: Atoms | None = None, allow_calculation: bool = True) -> Any:  # noqa: FBT001, FBT002 - ASE's signature
        """A property, calculated if needed.

        Raises:
            PropertyNotImplementedError: Saying why the model or the frame does not have it.
        """
        self._check_property(name)
        with self._turns.one():
            frame = self.atoms if atoms is None else atoms
            if name in ("stress", "stresses") and frame is not None and (not frame.pbc.any() or frame.cell.rank < 3):
                if not allow_calculation:
                    return None
                what = f"this frame has no {name}: it is not periodic or its cell has no volume"
                raise PropertyNotImplementedError(problem(_WHERE, what))
            with self._turns.about_a_frame():
                return super().get_property(name, atoms, allow_calculation)  # type: ignore[no-untyped-call]

    def _check_property(self, name: str) -> None:
        if name in type(self).implemented_properties and name not in self.implemented_properties:
            hint = "apply the modifier enable_ForceStressOutput (equipot package modify, equipot compile --modifiers)"
            what = f"this model has no {name}, only {self.implemented_properties}"
            if name == "stresses" and "forces" in self.implemented_properties:
                raise PropertyNotImplementedError(problem(_WHERE, f"{what} ({self._no_stresses})"))
            raise PropertyNotImplementedError(problem(_WHERE, what, hint=hint))

    def calculate_properties(self, atoms: Atoms, properties: Sequence[str]) -> Any:
        """The properties of a frame, as ASE's ``Properties``; errors as of ``calculate``."""
        with self._turns.one():
            return super().calculate_properties(atoms, properties)  # type: ignore[no-untyped-call]

    def calculation_required(self, atoms: Atoms, properties: Sequence[str]) -> bool:
        """Whether the last frame differs from this one, or lacks one of the properties."""
        with self._turns.one():
            return bool(self.check_state(atoms)) or not self._results.keys() >= set(properties)


def _ase_properties(info: ModelInfo) -> dict[str, tuple[str, bool, float | None]]:
    """By its name in ASE each output of a head: its key, whether it is of the frame, its factor (None if not a float).

    Outputs without such a name are left out.
    """
    found: dict[str, tuple[str, bool, float | None]] = {}
    for key in info.outputs:
        field = FIELDS.get(key)
        if field and field.ase_property and field.ase_property not in EquipotCalculator.implemented_properties:
            scale = None if field.dtype in ("int64", "bool") else in_ev(field.unit, info.units)
            found[field.ase_property] = (key, field.per == "frame", scale)
    return found


def _loaded(
    model: str | Path | GraphModel | CompiledModel, device: torch.device, weights: Weights, *, allow_native: bool
) -> GraphModel | CompiledModel:
    if isinstance(model, (str, Path)):
        return load(model, device, weights=weights, allow_native=allow_native)
    if isinstance(model, GraphModel):
        return copy.deepcopy(model).eval().to(device)
    if not isinstance(getattr(model, "info", None), ModelInfo):
        what, hint = "must be a file or a model", "a recipe is built with .build()"
        raise ConfigError(problem(f"{_WHERE}.model", what, got=type(model).__name__, hint=hint))
    return model


def _symbol_to_type(info: ModelInfo, types: Mapping[str, str] | None) -> dict[str, str]:
    """Chemical symbol to type name; ConfigError if it is ambiguous and the user did not give it."""
    if types is not None:
        return dict(types)
    species = info.chemical_species
    hint = f"give types={{symbol: type name}} with type names of {list(info.type_names)}"
    if species is None:
        raise ConfigError(problem(f"{_WHERE}.types", "is required: the model's types are not elements", hint=hint))
    if len(set(species)) < len(species):
        what = f"is required: several types are the same element, {list(species)}"
        raise ConfigError(problem(f"{_WHERE}.types", what, hint=hint))
    return dict(zip(species, info.type_names, strict=True))
