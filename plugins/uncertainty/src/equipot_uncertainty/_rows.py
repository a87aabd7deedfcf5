"""Features of energies and forces of many frames, and the errors of the model on them."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from equipot.graph import Graph, collate
from equipot.model import GraphModel, OutputHead
from equipot_uncertainty._head import NAME, Features, force_rows, number_of_features, scaled_features, sum_over_frames

MOST_ATOMS = 500
"""Atoms of the frames that are evaluated at once."""


@dataclass(frozen=True)
class Rows:
    """Of some frames: features p, and errors where there are labels.

    ``energy`` [n_frames, p], ``energy_errors`` [n_frames] (prediction - label, eV or the model's unit; NaN without a
    label, and for isolated atoms), ``atoms`` [n_atoms, p], ``num_atoms`` [n_frames]; ``forces`` [n_atoms, 3, p] and
    ``force_errors`` [n_atoms, 3] if they were asked for, else with 0 atoms.
    """

    energy: torch.Tensor
    energy_errors: torch.Tensor
    atoms: torch.Tensor
    num_atoms: torch.Tensor
    forces: torch.Tensor
    force_errors: torch.Tensor

    @classmethod
    def joined(cls, parts: Sequence[Rows]) -> Rows:
        """The rows of several batches, at least one."""
        names = [one.name for one in dataclasses.fields(cls)]
        return cls(*(torch.cat([getattr(part, name) for part in parts]) for name in names))

    def labelled(self) -> tuple[torch.Tensor, torch.Tensor]:
        """``energy`` and ``energy_errors`` of the frames with a label of the energy."""
        present = self.energy_errors.isfinite()
        return self.energy[present], self.energy_errors[present]

    def sums(self, values: torch.Tensor) -> torch.Tensor:
        """Sums of values of atoms over the frames with a label of the energy; [n_atoms] to [n]."""
        frame = torch.repeat_interleave(torch.arange(len(self.num_atoms)), self.num_atoms)
        whole = torch.zeros(len(self.num_atoms), dtype=values.dtype).index_add(0, frame, values)
        return whole[self.energy_errors.isfinite()]

    def labelled_forces(self) -> tuple[torch.Tensor, torch.Tensor]:
        """The same of the atoms with labels of forces: [n, p] and [n], three rows for each atom."""
        present = self.force_errors.isfinite().all(dim=1)
        return self.forces[present].flatten(0, 1), self.force_errors[present].flatten()


class _Probe(OutputHead):
    """Keeps the features of the last call, and what they give for forces."""

    provides = ("energy_std",)

    def __init__(self, model: GraphModel, kind: Features) -> None:
        super().__init__()
        self.key = f"{kind}_features"
        self.requires = (self.key, "atom_types", "batch", "num_atoms", "edge_vectors", "edge_index")
        self.num_features = number_of_features(model, kind)
        self.scales = scales_of(model)
        self.with_forces = False
        self.energy = self.atoms = self.forces = torch.empty(0)

    def forward(self, data: Graph) -> Graph:
        features = scaled_features(data, self.key, self.num_features, self.scales)
        self.atoms = features.detach()
        self.energy = sum_over_frames(self.atoms, data)
        none = torch.empty(0, 3, self.num_features, dtype=torch.float64)
        self.forces = force_rows(features, data) if self.with_forces else none
        return {"energy_std": self.energy[:, 0]}


class Prober:
    """A model that shows its features.

    Args:
        model: In eval mode, on the CPU; its other heads are left out.
        kind: Of the features.
    """

    def __init__(self, model: GraphModel, kind: Features) -> None:
        self._probe = _Probe(model, kind)
        self.model = model.replace(outputs={NAME: self._probe}, evaluator=None).eval()
        self.num_features = self._probe.num_features

    def mean_features(self, batch: Graph) -> torch.Tensor:
        """Mean features of the atoms of each frame, float64 [n_frames, p]."""
        self._probe.with_forces = False
        self.model(batch)
        return self._probe.energy / batch["num_atoms"].unsqueeze(1)

    def rows(self, batch: Graph, *, forces: bool) -> Rows:
        """Features and errors of the frames of a batch.

        Args:
            batch: With labels.
            forces: Whether those of forces too, at the cost of p calculations of forces.
        """
        self._probe.with_forces = forces
        outputs = self.model(batch)
        energy_errors = torch.where(_has_edges(batch), _errors("total_energy", outputs, batch), torch.nan)
        rows = self._probe.forces
        force_errors = _errors("forces", outputs, batch) if forces else torch.empty(0, 3, dtype=torch.float64)
        return Rows(self._probe.energy, energy_errors, self._probe.atoms, batch["num_atoms"], rows, force_errors)

    def collect(self, batches: Iterable[Graph], *, forces: bool) -> Rows:
        """Rows of all batches, as by ``rows``."""
        return Rows.joined([self.rows(batch, forces=forces) for batch in batches])


def _errors(label: str, outputs: Graph, batch: Graph) -> torch.Tensor:
    """Prediction minus label; NaN where there is no label, or no prediction."""
    if label not in batch or label not in outputs:
        like = batch["num_atoms"] if label == "total_energy" else batch["positions"]
        return torch.full(like.shape, torch.nan, dtype=torch.float64)
    present = batch[f"{label}_mask"]
    errors = outputs[label] - batch[label]
    return torch.where(present.reshape(-1, *[1] * (errors.dim() - 1)), errors, torch.nan)


def _has_edges(batch: Graph) -> torch.Tensor:
    """Which frames have edges, bool [n_frames]; the energy of others is not one of features, but a constant."""
    frames = batch["batch"][batch["edge_index"][0]]
    return torch.bincount(frames, minlength=len(batch["num_atoms"])) > 0


def scales_of(model: GraphModel) -> torch.Tensor:
    """Factors on the atomic energies by type, float64 [n_types]."""
    return model.scale_shift.scales.detach().expand(len(model.info.type_names)).clone()


def in_batches(frames: Any, indices: Sequence[int] | None = None) -> Iterator[Graph]:
    """Frames of a set in batches of at most ``MOST_ATOMS`` atoms, or of one frame.

    Args:
        frames: With ``len`` and ``[]``.
        indices: Those that are taken; default: all.
    """
    waiting: list[Graph] = []
    atoms = 0
    for index in range(len(frames)) if indices is None else indices:
        frame = frames[index]
        size = int(frame["num_atoms"].sum())
        if waiting and atoms + size > MOST_ATOMS:
            yield collate(waiting)
            waiting, atoms = [], 0
        waiting.append(frame)
        atoms += size
    if waiting:
        yield collate(waiting)
