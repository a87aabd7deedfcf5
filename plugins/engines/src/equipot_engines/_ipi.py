"""A model in i-PI: the driver that i-PI calls itself."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np

from equipot.errors import ConfigError, EquipotError, problem
from equipot_engines._calculators import base_class, calculator_for, missing

if TYPE_CHECKING:
    from ase import Atoms

    from equipot_engines._calculators import Source

    Array: TypeAlias = np.ndarray[Any, np.dtype[np.float64]]
    Result: TypeAlias = tuple[float, Array, Array, str]

_WHERE = "IPIDriver"
_Driver = base_class("ipi.pes.dummy", "Dummy_driver")


class IPIDriver(_Driver):  # type: ignore[misc, valid-type] # it is not known to type checkers
    """A model as i-PI's ``<ffdirect>`` calls it: all beads of a step in one batch.

    i-PI finds it through the file whose path ``equipot ipi --driver-path`` prints::

        <ffdirect name="equipot"> <pes>custom</pes> <pes_path>PATH</pes_path> <batch_size>4</batch_size>
          <parameters> {template: init.xyz, model: model.equipot.zip} </parameters> </ffdirect>

    Args:
        template: File of a structure with the atoms in i-PI's order, in any format that ASE reads. Its periodic
            boundary conditions hold; its positions and cell do not matter.
        model: A ``.ckpt``, ``.equipot.zip`` or ``.equipot.pt2`` file; in Python also a model or ``EquipotCalculator``.
        device: Where the model runs; default: the CPU.
        weights: Which weights of a checkpoint: ``ema`` (if present) or ``raw``.
        allow_native: Also load a compiled file that you did not build yourself.
        verbosity: i-PI gives it; not used.
        verbose: i-PI's command line gives it; not used.

    Raises:
        ArtifactError: If the file of the model cannot be used.
        ConfigError: If the model has no forces, reads more than atoms and cells, or the template cannot be read.
        UnavailableError: If i-PI is not installed.
    """

    def __init__(
        self,
        template: str,
        model: Source,
        device: str | None = None,
        *,
        weights: Literal["ema", "raw"] = "ema",
        allow_native: bool = False,
        verbosity: Any = None,
        verbose: bool = False,
    ) -> None:
        if _Driver is object:
            raise missing(_WHERE, "i-PI", "ipi")
        from equipot.ase import EquipotCalculator
        from equipot_engines._batches import Batches

        del verbosity
        if isinstance(model, str):
            model = EquipotCalculator(model, device or "cpu", weights=weights, allow_native=_flag(allow_native))
            device = None
        self._batches = Batches(calculator_for(_WHERE, model, device), _WHERE)
        self.template = read_template(template, f"{_WHERE}.template")
        super().__init__(verbose=verbose)

    def compute_structure(self, cell: Array, pos: Array) -> Result:
        """Evaluate one structure; shapes, units and errors are those of ``compute``."""
        (result,) = self.compute([cell], [pos])
        return result

    def compute(self, cell: Any, pos: Any) -> Any:
        """Evaluate a structure, or all of a list in one batch.

        Args:
            cell: Cell vectors as columns in bohr, shape [3, 3], or a list of them.
            pos: Positions in bohr, shape [n_atoms, 3], or a list of them.

        Returns:
            Energy in hartree, forces in hartree/bohr [n_atoms, 3], virial in hartree [3, 3], and no further properties;
            or a list of these.

        Raises:
            DataError: On a number that is not finite, or a force beyond the limit of the calculator.
        """
        if not isinstance(cell, list):
            return self.compute_structure(cell, pos)
        from ipi.utils.units import unit_to_internal

        outputs = self._evaluated(cell, pos)
        plain = {key: value.cpu().numpy().astype(np.float64) for key, value in outputs.items()}
        energies = unit_to_internal("energy", "electronvolt", plain["total_energy"])
        forces = unit_to_internal("force", "ev/ang", plain["forces"]).reshape(len(cell), -1, 3)
        virials = unit_to_internal("energy", "electronvolt", self._virials(cell, plain))
        return [
            (float(energy), force, virial, "") for energy, force, virial in zip(energies, forces, virials, strict=True)
        ]

    def _evaluated(self, cells: list[Array], positions: list[Array]) -> dict[str, Any]:
        """The outputs of the model; an error also ends an i-PI that polls in a thread, which would wait for ever."""
        try:
            return self._batches.evaluate(self._frames(cells, positions))
        except EquipotError as error:
            if threading.current_thread() is not threading.main_thread():
                from ipi.utils.softexit import softexit

                softexit.trigger(status="bad", message=str(error))
            raise

    def _frames(self, cells: list[Array], positions: list[Array]) -> dict[str, Any]:
        import torch
        from ipi.utils.units import unit_to_user

        number, n_atoms = len(cells), len(self.template)
        if any(one.shape != (n_atoms, 3) for one in positions):
            what = f"has {n_atoms} atoms, and i-PI others"
            raise ConfigError(problem(f"{_WHERE}.template", what, got=[len(one) for one in positions]))
        to_angstrom = float(unit_to_user("length", "angstrom", 1.0))
        return {
            "positions": torch.from_numpy(np.concatenate(positions) * to_angstrom),
            "cell": torch.from_numpy(np.stack(cells).transpose(0, 2, 1) * to_angstrom),
            "pbc": torch.from_numpy(np.tile(self.template.pbc, (number, 1))),
            "atomic_numbers": torch.from_numpy(np.tile(self.template.numbers, number)),
            "batch": torch.arange(number).repeat_interleave(n_atoms),
            "num_atoms": torch.full((number,), n_atoms),
        }

    def _virials(self, cells: list[Array], outputs: dict[str, Array]) -> Array:
        """-stress * volume in eV, zero without periodic boundaries."""
        from ipi.utils.units import unit_to_user

        if "stress" not in outputs or not self.template.pbc.any():
            return np.zeros((len(cells), 3, 3))
        volumes = np.abs(np.linalg.det(np.stack(cells))) * float(unit_to_user("length", "angstrom", 1.0)) ** 3
        return -outputs["stress"] * volumes[:, None, None]


def _flag(value: Any) -> bool:
    """A truth value of i-PI's file, where it may be a word."""
    known = {"true": True, "false": False}
    if isinstance(value, str) and value.lower() in known:
        return known[value.lower()]
    if not isinstance(value, bool):
        raise ConfigError(problem(f"{_WHERE}.allow_native", "must be true or false", got=value))
    return value


def read_template(path: str, where: str) -> Atoms:
    """The last structure of a file.

    Args:
        path: In any format that ASE reads.
        where: The argument, for messages.

    Raises:
        ConfigError: If ASE cannot read it.
    """
    from ase import Atoms
    from ase.io import read

    try:
        found = read(path)
    except Exception as error:  # noqa: BLE001 - every format of ASE has errors of its own
        reason = str(error).partition("\n")[0] or type(error).__name__
        raise ConfigError(problem(where, f"cannot be read ({reason})", got=path)) from None
    if not isinstance(found, Atoms):
        raise ConfigError(problem(where, "must hold a structure", got=path))
    return found
