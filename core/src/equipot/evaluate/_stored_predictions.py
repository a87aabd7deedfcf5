"""Errors of predictions that were computed elsewhere: ``evaluate`` gets an object that looks them up."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from ase.stress import voigt_6_to_full_3x3_stress

from equipot.data._frames import LabelSource, frame_from_atoms
from equipot.errors import ConfigError, DataError, problem
from equipot.fields import LABELS, OPTIONAL_INPUTS
from equipot.units import UNIT_SYSTEMS

if TYPE_CHECKING:
    from ase import Atoms

    from equipot.graph import Graph
    from equipot.model import ModelInfo

_KEY = ("atomic_numbers", "positions", "cell", "pbc")
_STORED = ("total_energy", "atomic_energy", "forces", "stress", "virial")


class StoredPredictions:
    """Gives the stored predictions of a frame in place of a model, to ``evaluate`` with a ``batch_size`` of 1.

    Args:
        info: Of the model that made them.
        records: Each frame with its record as ``equipot predict`` writes it: ``status``, ``reason`` if that is not
            ``ok``, and ``results`` as ASE has them: ``energy`` in eV, ``energies`` of atoms, ``forces`` in eV/Å and
            ``stress`` in eV/Å³ (Voigt's order), as far as the model has them.

    Raises:
        DataError: If a frame cannot be a model's input.
        ConfigError: If the model predicts labels that no record has, such as a dipole moment.
    """

    def __init__(self, info: ModelInfo, records: Iterable[tuple[Atoms, Mapping[str, Any]]]) -> None:
        if lost := [key for key in info.outputs if key in LABELS and key not in _STORED]:
            what = f"records have no {' and no '.join(lost)}, which the model predicts"
            raise ConfigError(problem("stored predictions", what, hint="evaluate in this process: without --workers"))
        self.info = info
        self._inputs = [key for key in OPTIONAL_INPUTS if key in info.inputs]
        contract = {key: LabelSource(key) for key in self._inputs}
        self._stored = {self._key(frame_from_atoms(atoms, contract)[0]): record for atoms, record in records}

    def _key(self, frame: Graph) -> bytes:
        """What tells frames apart: a digest of all that a model reads."""
        digest = hashlib.sha256()
        for key in (*_KEY, *self._inputs):
            digest.update(np.ascontiguousarray(frame[key].cpu().numpy(), dtype=np.float64).tobytes())
        return digest.digest()

    def __call__(self, batch: Graph) -> Graph:
        """Outputs of a batch of one frame, in the units of the model.

        Raises:
            DataError: If the frame could not be computed, or is none of those that were.
        """
        record = self._stored.get(self._key(batch))
        if record is None:
            what = (
                "a frame has no stored prediction: the file has changed since they were computed, or is read otherwise"
            )
            raise DataError(problem("stored predictions", what))
        if record["status"] != "ok":
            raise DataError(problem("stored predictions", f"a frame could not be computed: {record['reason']}"))
        results, factor = record["results"], UNIT_SYSTEMS[self.info.units].energy_in_ev
        outputs = {
            "total_energy": torch.tensor([results["energy"]], dtype=torch.float64) / factor,
            "atomic_energy": torch.tensor(results["energies"], dtype=torch.float64) / factor,
        }
        if "forces" in results:
            outputs["forces"] = torch.tensor(results["forces"], dtype=torch.float64) / factor
        if "stress" in self.info.outputs:
            known = "stress" in results
            stress = voigt_6_to_full_3x3_stress(results["stress"] if known else np.zeros(6))
            outputs["stress"] = torch.tensor(stress, dtype=torch.float64)[None] / factor
            outputs["stress_mask"] = torch.tensor([known])
        return outputs
