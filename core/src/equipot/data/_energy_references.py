"""Reference energies per type: of isolated atoms, or from a least-squares fit to compositions."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from equipot.errors import DataError
from equipot.graph import Graph
from equipot.quantities import FieldValues

_ENERGY = FieldValues("total_energy")


class LeastSquaresShifts:
    """Per-type energies e_t that minimise ``sum over frames of (E - sum_t n_t e_t)^2``.

    Every frame has the same weight. It is an error if the compositions do not determine the fit.
    """

    requires = ("total_energy", "atom_types")

    def __init__(self, type_names: Sequence[str]) -> None:
        self._type_names = list(type_names)
        self._counts: list[list[int]] = []
        self._energies: list[float] = []

    def update(self, batch: Graph) -> None:
        """Collect compositions and energies."""
        found = _ENERGY.values(batch)
        if found is None:
            return
        energies, present = found.rows, found.present
        n_frames, n_types = energies.shape[0], len(self._type_names)
        flat = batch["batch"] * n_types + batch["atom_types"]
        counts = torch.bincount(flat, minlength=n_frames * n_types).reshape(n_frames, n_types)
        self._counts.extend(counts[present].tolist())
        self._energies.extend(energies[present].tolist())

    def result(self) -> dict[str, float]:
        """The fitted energies by type; a DataError if the frames do not determine them."""
        if not self._counts:
            raise DataError("the train set has no total_energy")
        counts = np.array(self._counts, dtype=np.float64)
        if absent := [name for name, column in zip(self._type_names, counts.T, strict=True) if not column.any()]:
            raise DataError(f"the train set has no atoms of the types {absent}")
        rank = int(np.linalg.matrix_rank(counts))
        if rank < len(self._type_names):
            raise DataError(
                f"compositions are rank deficient: they determine {rank} of {len(self._type_names)} per-type "
                "energies (e.g. all frames have one stoichiometry); use per_atom_energy_mean, "
                "isolated_atom_energies or numbers, or add frames of other compositions"
            )
        energies = np.linalg.lstsq(counts, np.array(self._energies), rcond=None)[0]
        return dict(zip(self._type_names, energies.tolist(), strict=True))


class IsolatedAtoms:
    """Energies by type of the frames that consist of one atom without neighbours."""

    def __init__(self, type_names: Sequence[str]) -> None:
        self._type_names = list(type_names)
        self._found: dict[str, set[float]] = {}

    def update(self, batch: Graph) -> None:
        """Collect the isolated atoms of a batch."""
        found = _ENERGY.values(batch)
        if found is None:
            return
        energies, present = found.rows, found.present
        edges = torch.bincount(batch["batch"][batch["edge_index"][0]], minlength=energies.shape[0])
        first = batch["num_atoms"].cumsum(0) - batch["num_atoms"]
        for frame in torch.where(present & (batch["num_atoms"] == 1) & (edges == 0))[0].tolist():
            name = self._type_names[int(batch["atom_types"][first[frame]])]
            self._found.setdefault(name, set()).add(float(energies[frame]))

    def result(self) -> dict[str, float]:
        """Energies by type; a DataError if a type has no isolated atom, or several with different energies."""
        if absent := [name for name in self._type_names if name not in self._found]:
            raise DataError(
                "the train set has no isolated atom (a frame of one atom without neighbours, with total_energy) "
                f"of the types {absent}"
            )
        for name, energies in self._found.items():
            if max(energies) - min(energies) > 1e-6:
                raise DataError(f"isolated atoms of type {name!r} have different energies: {sorted(energies)}")
        return {name: min(self._found[name]) for name in self._type_names}
