"""A model in torch-sim."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from equipot.errors import ConfigError, DataError, problem
from equipot.fields import FIELDS
from equipot_engines._batches import Batches
from equipot_engines._calculators import base_class, calculator_for, missing

if TYPE_CHECKING:
    from equipot_engines._calculators import Source

_WHERE = "TorchSimModel"
_Interface = base_class("torch_sim.models.interface", "ModelInterface")


class TorchSimModel(_Interface):  # type: ignore[misc, valid-type] # it is not known to type checkers
    """A model for torch-sim: energies, forces and stresses of many systems at once.

    Every system has a neighbour list of its own, which is kept from step to step as long as its atoms and its cell
    allow. Results are those of ``EquipotCalculator`` for each system, up to rounding. The limits of the calculator on
    forces, and on speeds where a state has momenta, stop runaway dynamics, and so does a result that is not finite.

    Example::

        model = TorchSimModel("water.equipot.zip")
        final = torch_sim.optimize(system=frames, model=model, optimizer=torch_sim.frechet_cell_fire)

    Args:
        model: A ``.ckpt``, ``.equipot.zip`` or ``.equipot.pt2`` file, a model, or an ``EquipotCalculator``, whose
            options such as ``types``, ``skin`` and ``max_force`` then hold.
        device: Where the model runs; default: the CPU, or where the calculator is.
        dtype: Of the results, and of the states that torch-sim makes; the model's own precision does not depend on it.
        compute_stress: Give stresses. They are zero for systems that are not periodic.

    Raises:
        ArtifactError: If the file cannot be used.
        ConfigError: If the model has no forces or reads more than atoms and cells, or the dtype is another one.
        UnavailableError: If torch-sim is not installed.
    """

    def __init__(
        self,
        model: Source,
        device: str | torch.device | None = None,
        *,
        dtype: torch.dtype = torch.float64,
        compute_stress: bool = True,
    ) -> None:
        if _Interface is object:
            raise missing(_WHERE, "torch-sim", "torch-sim")
        super().__init__()
        if dtype not in (torch.float32, torch.float64):
            hint = "torch.float32 or torch.float64"
            raise ConfigError(problem(f"{_WHERE}.dtype", "is not one of states", got=str(dtype), hint=hint))
        calculator = calculator_for(_WHERE, model, device)
        self._batches = Batches(calculator, _WHERE)
        of_core = type(calculator).implemented_properties
        named = ((FIELDS[key].ase_property, key) for key in calculator.info.outputs if key in FIELDS)
        self._of_heads = {name: key for name, key in named if name and name not in of_core}
        self._device, self._dtype = calculator.device, dtype
        self._compute_forces, self._compute_stress = True, compute_stress
        self._memory_scales_with = "n_atoms_x_density"  # 0.3 reads it from here

    @property
    def neighbor_list_builds(self) -> int:
        """How often the neighbour list of a system was made."""
        return self._batches.neighbors.builds

    @property
    def compute_stress(self) -> bool:
        """Whether stresses are among the results."""
        return self._compute_stress

    @compute_stress.setter
    def compute_stress(self, compute_stress: bool) -> None:
        self._compute_stress = compute_stress

    @property
    def compute_forces(self) -> bool:
        """Whether forces are among the results."""
        return self._compute_forces

    @compute_forces.setter
    def compute_forces(self, compute_forces: bool) -> None:
        self._compute_forces = compute_forces

    def forward(self, state: Any, **_options: Any) -> dict[str, torch.Tensor]:
        """Evaluate all systems of a state.

        Args:
            state: A ``torch_sim.SimState``, or a dict with its tensors; it is not changed.
            **_options: What torch-sim gives to other models; not used.

        Returns:
            ``energy`` in eV, shape [n_systems]; ``forces`` in eV/Å, shape [n_atoms, 3]; ``stress`` in eV/Å³, shape
            [n_systems, 3, 3]; what heads predict, under the names that it has in ASE, e.g. ``energy_std``.

        Raises:
            DataError: On an element that the model does not know, a number that is not finite, an atom beyond the
                limits, or a state whose systems are not one after the other.
        """
        if isinstance(state, dict):
            state = _state_of(state)
        frames = _frames(state)
        momenta = getattr(state, "momenta", None)  # only states of dynamics have them
        outputs = self._batches.evaluate(frames, momenta, None if momenta is None else state.masses)
        names = {"energy": "total_energy"}
        if self._compute_forces:
            names["forces"] = "forces"
        if self._compute_stress:
            names["stress"] = "stress"
        names |= self._of_heads
        return {name: outputs[key].to(state.positions.device, self._dtype) for name, key in names.items()}


def _state_of(fields: dict[str, Any]) -> Any:
    from torch_sim.state import SimState

    return SimState(**{"masses": torch.ones_like(fields["atomic_numbers"], dtype=fields["positions"].dtype), **fields})


def _frames(state: Any) -> dict[str, torch.Tensor]:
    """The state as a batch of frames: torch-sim's cells have vectors as columns, and one pbc for all systems."""
    system, n_systems = state.system_idx, len(state.cell)
    counts = torch.bincount(system, minlength=n_systems)
    if bool((system.diff() < 0).any()) or len(counts) != n_systems or not bool(counts.all()):
        what = "must hold the systems one after the other, each with at least one atom"
        raise DataError(problem(f"{_WHERE}: system_idx", what, got=system.tolist()))
    return {
        "positions": state.positions,
        "cell": state.row_vector_cell,
        "pbc": torch.as_tensor(state.pbc, dtype=torch.bool).expand(n_systems, 3).contiguous(),
        "atomic_numbers": state.atomic_numbers.to(torch.int64),
        "batch": system,
        "num_atoms": counts,
    }
