"""Errors of predictions that were computed elsewhere: ``equipot.evaluate`` gets a model that looks them up."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from ase.stress import voigt_6_to_full_3x3_stress

from equipot.errors import DataError, problem
from equipot.files import write_json
from equipot.units import UNIT_SYSTEMS
from equipot_simulate._folder import RESULTS
from equipot_simulate._many import records
from equipot_simulate._setup import say

if TYPE_CHECKING:
    from ase import Atoms

    from equipot.graph import Graph
    from equipot_simulate._setup import ModelOptions


class Replay:
    """Gives the stored predictions of a frame in place of a model.

    Args:
        info: Of the model.
        stored: Results of each frame, by ``key_of``.
    """

    def __init__(self, info: Any, stored: Mapping[bytes, Mapping[str, Any]]) -> None:
        self.info = info
        self._stored = stored

    def __call__(self, batch: Graph) -> Graph:
        """Outputs of a batch of one frame, in the units of the model.

        Raises:
            DataError: If nothing is stored of the frame.
        """
        key = key_of(batch["atomic_numbers"].numpy(), batch["positions"].numpy(), batch["cell"].numpy())
        if key not in self._stored:
            raise DataError(problem("equipot predict", "the file has changed since the predictions were computed"))
        results, factor = self._stored[key], UNIT_SYSTEMS[self.info.units].energy_in_ev
        outputs = {
            "total_energy": torch.tensor([results["energy"]], dtype=torch.float64) / factor,
            "atomic_energy": torch.tensor(results["energies"], dtype=torch.float64).reshape(-1, 1) / factor,
        }
        if "forces" in results:
            outputs["forces"] = torch.tensor(results["forces"], dtype=torch.float64) / factor
        if "stress" in self.info.outputs:
            known = "stress" in results
            stress = voigt_6_to_full_3x3_stress(results["stress"] if known else np.zeros(6))
            outputs["stress"] = torch.tensor(stress, dtype=torch.float64)[None] / factor
            outputs["stress_mask"] = torch.tensor([known])
        return outputs


def key_of(numbers: Any, positions: Any, cell: Any) -> bytes:
    """What tells frames apart: a digest of elements, positions and cell."""
    digest = hashlib.sha256(np.ascontiguousarray(numbers, dtype=np.int64).tobytes())
    for array in (positions, cell):
        digest.update(np.ascontiguousarray(array, dtype=np.float64).tobytes())
    return digest.digest()


def add_errors(
    folder: Path, model: ModelOptions, structure: str, labels: Mapping[str, str | Mapping[str, str]]
) -> None:
    """Add the errors of all predictions in a folder to its ``results.json``.

    Args:
        folder: Of the results.
        model: For its facts.
        structure: The file with the labels.
        labels: Where they are; empty: under ASE's names.

    Raises:
        DataError: If there are no labels.
    """
    from equipot.evaluate import evaluate

    info = model.calculator().info
    stored = {_key(atoms): one["results"] for atoms, one in _with_records(structure, folder)}
    replay: Any = Replay(info, stored)
    found = evaluate(replay, structure, labels=labels or None, batch_size=1)
    results = json.loads((folder / RESULTS).read_text(encoding="utf-8"))
    write_json(folder / RESULTS, {**results, "errors": found.to_dict()})
    for one in found.compared:
        errors = one.errors()
        say(f"{one.name}: RMSE {errors['rmse']:.4g}, MAE {errors['mae']:.4g} {errors['unit']}")


def _with_records(structure: str, folder: Path) -> list[tuple[Atoms, dict[str, Any]]]:
    from equipot.data import read_atoms

    found = records(folder)
    return [(atoms, found[index]) for index, atoms in enumerate(read_atoms(structure)) if index in found]


def _key(atoms: Atoms) -> bytes:
    return key_of(atoms.numbers, atoms.positions, atoms.cell.array)
