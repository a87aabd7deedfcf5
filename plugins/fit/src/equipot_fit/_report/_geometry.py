"""Energies of structures that the report makes up: dimers, strained cells, displaced atoms."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from equipot.data import frame_from_atoms
from equipot.data.transforms import default_transforms
from equipot.graph import Graph, collate
from equipot.units import UNIT_SYSTEMS

if TYPE_CHECKING:
    from ase import Atoms

    from equipot.evaluate import EvaluatedFrame
    from equipot.model import GraphModel

ATOMS_AT_ONCE = 400


def outputs_of(model: GraphModel, structures: Sequence[Atoms]) -> dict[str, torch.Tensor]:
    """Outputs of a model for structures, joined, in its own units.

    Args:
        model: In eval mode.
        structures: At least one.

    Raises:
        DataError: If the model does not know an element.
    """
    transforms = default_transforms(model.info)
    parts: list[dict[str, torch.Tensor]] = []
    waiting: list[Graph] = []
    size = 0
    for structure in structures:
        frame, _ = frame_from_atoms(structure, {}, "structure")
        for transform in transforms:
            frame = transform(frame)
        waiting.append(frame)
        size += len(structure)
        if size >= ATOMS_AT_ONCE:
            parts.append(dict(model(collate(waiting))))
            waiting, size = [], 0
    if waiting:
        parts.append(dict(model(collate(waiting))))
    return {key: torch.cat([part[key].detach() for part in parts]) for key in parts[0]}


def energies_in_ev(model: GraphModel, structures: Sequence[Atoms]) -> Any:
    """Energies in eV, shape [n_structures]."""
    factor = UNIT_SYSTEMS[model.info.units].energy_in_ev
    return outputs_of(model, structures)["total_energy"].numpy().astype(np.float64) * factor


def atoms_of(frame: EvaluatedFrame) -> Atoms:
    """The structure of a frame, without labels."""
    return structure_of(frame.frame)


def structure_of(frame: Graph) -> Atoms:
    """The structure of a frame as read, without labels."""
    from ase import Atoms

    return Atoms(
        numbers=frame["atomic_numbers"].numpy(),
        positions=frame["positions"].numpy(),
        cell=frame["cell"][0].numpy(),
        pbc=frame["pbc"][0].numpy(),
    )
