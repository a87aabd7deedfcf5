"""Split a structure among processes as engines do: each has atoms of its own, and copies of those within reach."""

from __future__ import annotations

import dataclasses
import itertools
from typing import TYPE_CHECKING

import torch

from equipot.graph import Graph, edge_set_key
from equipot_testing.frames import Structure

if TYPE_CHECKING:
    from collections.abc import Iterator

    from equipot.model import ModelInfo


@dataclasses.dataclass(frozen=True)
class Share:
    """What one process has of a structure."""

    frame: Graph
    """A frame without a cell, with ``owned``: first its own atoms, then the ghosts."""
    parents: torch.Tensor
    """Index in the structure of each atom and ghost, int64, shape [n_atoms]."""


def reach_of(info: ModelInfo) -> float:
    """How far away in Å an atom may be to matter for another one: radius times message layers.

    Args:
        info: Of a model that is not global.
    """
    layers = int(info.locality[5:-1]) if info.locality.startswith("hops(") else 1
    return max([info.r_max * layers, *(radius for _, radius in info.edge_sets)])


def split(structure: Structure, info: ModelInfo, ranks: int) -> Iterator[Share]:
    """The shares of processes, each with a layer of the structure along its first axis.

    Args:
        structure: Atoms, periodic or not; a process may get none of its own.
        info: Of the model.
        ranks: Number of processes.
    """
    order = torch.argsort(structure.positions[:, 0])
    for mine in torch.tensor_split(order, ranks):
        yield share_of(structure, info, mine)


def share_of(structure: Structure, info: ModelInfo, mine: torch.Tensor) -> Share:
    """The share of a process with given atoms.

    Args:
        structure: Atoms, periodic or not.
        info: Of the model.
        mine: Indices of its own atoms, shape [n]; without any, its ghosts are the atoms of the structure.

    Returns:
        The share; of a strictly local model, only its own atoms have edges.
    """
    reach = reach_of(info)
    counts = [_images(structure, axis, reach) if structure.pbc[axis] else 0 for axis in range(3)]
    places, parents = [structure.positions[mine]], [mine]
    for shift in itertools.product(*(range(-count, count + 1) for count in counts)):
        image = structure.positions + torch.tensor(shift, dtype=torch.float64) @ structure.cell
        near = torch.ones(len(structure), dtype=torch.bool)
        if len(mine):
            near = torch.cdist(image, structure.positions[mine]).amin(1) <= reach
        if not any(shift):
            near[mine] = False
        elif not len(mine):
            continue
        places.append(image[near])
        parents.append(torch.nonzero(near).squeeze(1))
    parent = torch.cat(parents)
    no_cell = torch.zeros(3, 3, dtype=torch.float64)
    cluster = Structure(torch.cat(places), structure.types[parent], no_cell, (False, False, False))
    frame = cluster.graph(info)
    frame["owned"] = torch.arange(len(cluster)) < len(mine)
    if info.locality == "strict":
        for name in info.edge_set_names:
            index, shifts = edge_set_key("edge_index", name), edge_set_key("edge_cell_shift", name)
            kept = frame["owned"][frame[index][0]]
            frame[index], frame[shifts] = frame[index][:, kept], frame[shifts][kept]
    return Share(frame, parent)


def _images(structure: Structure, axis: int, reach: float) -> int:
    """Number of images that may be within reach on either side along a periodic cell vector."""
    others = [one for one in range(3) if one != axis]
    normal = torch.linalg.cross(structure.cell[others[0]], structure.cell[others[1]])
    height = float((structure.cell[axis] @ normal).abs() / normal.norm())
    return int(reach / height) + 1
