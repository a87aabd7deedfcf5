"""What a worker does with structures: each task gives plain records, also of structures that fail."""

from __future__ import annotations

import copy
import pickle
import threading
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from equipot.errors import EquipotError

if TYPE_CHECKING:
    from ase import Atoms

    from equipot.ase import EquipotCalculator

Record = dict[str, Any]
"""``index``, ``status`` (``ok`` or ``failed``), ``reason`` if it failed, ``results``, and ``structure`` if there is a
new one."""

_own = threading.local()
"""Each thread of a worker has its own copy of the calculator: threads that share one wait for each other."""


class Task(ABC):
    """Base of tasks: computes one structure."""

    at_once = 1
    """Structures that are handed out together."""

    def options(self) -> Mapping[str, Any]:
        """What must be the same when a second run goes on with what is missing."""
        return vars(self)

    @abstractmethod
    def compute(self, index: int, atoms: Atoms) -> Record:
        """Results of a structure with a calculator: ``results``, and maybe ``structure``.

        Raises:
            EquipotError: If it cannot be computed; it then counts as failed.
        """

    def __call__(self, structures: Sequence[tuple[int, Atoms]], calculator: EquipotCalculator) -> list[Record]:
        """Records of structures, called in a worker."""
        return [self._record(index, atoms, _own_copy(calculator)) for index, atoms in structures]

    def _record(self, index: int, atoms: Atoms, calculator: EquipotCalculator) -> Record:
        atoms.calc = calculator
        try:
            return {"index": index, "status": "ok", **self.compute(index, atoms)}
        except EquipotError as error:
            return {"index": index, "status": "failed", "reason": str(error), "results": {}}


@dataclass(frozen=True)
class MdTask(Task):
    """Molecular dynamics, in a folder that worker and starter both see."""

    run: dict[str, Any]
    """Options of ``MdOptions``."""
    folder: str
    """Holds ``runs``; absolute."""

    def options(self) -> Mapping[str, Any]:
        """Without the number of steps, which may grow, and the folder, which may have been moved."""
        return {name: value for name, value in self.run.items() if name != "steps"}

    def compute(self, index: int, atoms: Atoms) -> Record:
        """One run; it goes on from its last state if the worker before died."""
        import json

        from equipot_simulate._folder import RESULTS
        from equipot_simulate._md import MdOptions, Simulation
        from equipot_simulate._stopping import Stopping

        folder = run_folder(Path(self.folder), index)
        folder.mkdir(parents=True, exist_ok=True)
        source = {"structure": {"frame": index, "formula": atoms.get_chemical_formula(), "atoms": len(atoms)}}
        run = Simulation(atoms, MdOptions(**self.run), folder, source)
        run.run(Stopping())
        return {"results": json.loads((folder / RESULTS).read_text(encoding="utf-8"))}


@dataclass(frozen=True)
class RelaxTask(Task):
    """Relaxation."""

    run: dict[str, Any]
    """Options of ``RelaxOptions``."""

    def compute(self, index: int, atoms: Atoms) -> Record:
        """One relaxation, without files."""
        from equipot_simulate._relax import Relaxation, RelaxOptions

        found = Relaxation(atoms, RelaxOptions(**self.run)).run()
        return {"results": found, "structure": plain_structure(atoms)}


@dataclass(frozen=True)
class PredictTask(Task):
    """Energy, forces and stress."""

    at_once = 20

    def compute(self, index: int, atoms: Atoms) -> Record:
        """All that the model gives."""
        del index
        atoms.calc.calculate(atoms)
        results = atoms.calc.results
        kept = {key: results[key].tolist() for key in ("energies", "forces", "stress") if key in results}
        return {"results": {"energy": results["energy"], **kept}}


def run_folder(folder: Path, index: int) -> Path:
    """Where the run of one of many structures is."""
    return folder / "runs" / f"{index:06d}"


def plain_structure(atoms: Atoms) -> dict[str, Any]:
    """A structure with its energy and forces as plain containers, all digits kept."""
    results = {"energy": float(atoms.get_potential_energy()), "forces": atoms.get_forces().tolist()}
    return {
        "numbers": atoms.numbers.tolist(), "positions": atoms.positions.tolist(), "cell": atoms.cell.array.tolist(),
        "pbc": atoms.pbc.tolist(), **results,
    }  # fmt: skip


def arrive(pickled: bytes) -> EquipotCalculator:
    """The calculator, in a worker; if the worker dies, another makes it again from the same bytes."""
    made: EquipotCalculator = pickle.loads(pickled)  # noqa: S301 - our own bytes, from the process that started this
    return made


def _own_copy(calculator: EquipotCalculator) -> EquipotCalculator:
    """This thread's copy of a calculator."""
    if getattr(_own, "made_from", None) is not calculator:
        _own.made_from, _own.made = calculator, copy.deepcopy(calculator)
    return _own.made
