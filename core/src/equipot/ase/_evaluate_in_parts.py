"""Evaluate a strictly local model in parts, so that memory does not grow with the size of the frame."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from equipot.artifacts._compiled_model import CompiledModel
from equipot.fields import MODEL_INPUTS
from equipot.graph import EDGE_SET_SEPARATOR, Graph, edge_set_key
from equipot.model._context import ModelInfo
from equipot.model._graph_model import GraphModel

MAX_EDGES = 500_000
"""Largest number of edges of a part, all edge sets together, unless a single atom has more."""

_SUMS = ("forces", "virial", "stress")
_EDGE_FORCES = "edge_forces"
_OUTPUTS = {_EDGE_FORCES, "atomic_energy", "total_energy", "stress_mask", *_SUMS}


def evaluate(model: GraphModel | CompiledModel, data: Graph, max_edges: int = MAX_EDGES) -> Graph:
    """Evaluate a model in eval mode, and a large frame in parts if the model is strictly local.

    The energy of an atom of such a model depends only on the atom's own edges. So consecutive atoms, with the
    neighbours that their edges lead to, are frames of their own: their energies are those of the atoms, and forces and
    virial are sums over the parts, which differ from those of the whole frame by rounding.
    """
    info = model.info
    n_edges = sum(data[edge_set_key("edge_index", name)].shape[1] for name in info.edge_set_names)
    if n_edges <= max_edges or not _divisible(info, data):
        whole: Graph = model(data)
        return whole
    n_atoms, device = data["batch"].shape[0], data["batch"].device
    atomic_energy = torch.zeros(n_atoms, dtype=torch.float64, device=device)
    sums: Graph = {}
    joined: dict[str, list[torch.Tensor]] = {}
    for first, last, atoms, part in _parts(info, data, max_edges):
        found = model(part)
        atomic_energy[first:last] = found["atomic_energy"][: last - first]
        for key in info.outputs:
            if key.startswith(_EDGE_FORCES):
                joined.setdefault(key, []).append(found[key])
            if key in _SUMS:
                value = found[key]
                if key == "forces":
                    value = torch.zeros(n_atoms, 3, dtype=value.dtype, device=device).index_add(0, atoms, value)
                sums[key] = sums[key] + value if key in sums else value
    result = {"atomic_energy": atomic_energy, "total_energy": atomic_energy.sum().unsqueeze(0), **sums}
    result |= {key: torch.cat(parts) for key, parts in joined.items()}
    return result | ({"stress_mask": found["stress_mask"]} if "stress_mask" in found else {})


def _divisible(info: ModelInfo, data: Graph) -> bool:
    """Whether the data are one frame of a strictly local model, with inputs and outputs that parts can have."""
    keys = {key.split(EDGE_SET_SEPARATOR)[0] for key in info.inputs}
    return (
        info.locality == "strict"
        and keys <= {*MODEL_INPUTS, "owned"}
        and {key.split(EDGE_SET_SEPARATOR)[0] for key in info.outputs} <= _OUTPUTS
        and data["num_atoms"].shape[0] == 1
        and "owned" not in data
    )


def _parts(info: ModelInfo, data: Graph, max_edges: int) -> Iterator[tuple[int, int, torch.Tensor, Graph]]:
    """First atom, the one after the last, indices of all atoms of the part (beginning with these), and the part."""
    n_atoms, device = data["batch"].shape[0], data["batch"].device
    starts = {
        name: torch.searchsorted(
            data[edge_set_key("edge_index", name)][0].contiguous(), torch.arange(n_atoms + 1, device=device)
        )
        for name in info.edge_set_names
    }
    before = torch.stack(list(starts.values())).sum(0)
    first = 0
    while first < n_atoms:
        last = int(torch.searchsorted(before, before[first] + max_edges, right=True)) - 1
        last = min(max(last, first + 1), n_atoms)
        bounds = {name: (int(start[first]), int(start[last])) for name, start in starts.items()}
        yield first, last, *_part(data, (first, last), bounds)
        first = last


def _part(data: Graph, centres: tuple[int, int], bounds: dict[str, tuple[int, int]]) -> tuple[torch.Tensor, Graph]:
    n_atoms, device = data["batch"].shape[0], data["batch"].device
    reached = torch.zeros(n_atoms, dtype=torch.bool, device=device)
    for name, (start, stop) in bounds.items():
        reached[data[edge_set_key("edge_index", name)][1, start:stop]] = True
    reached[centres[0] : centres[1]] = False
    atoms = torch.cat([torch.arange(*centres, device=device), torch.nonzero(reached).squeeze(1)])
    place = torch.empty(n_atoms, dtype=torch.int64, device=device)
    place[atoms] = torch.arange(atoms.shape[0], device=device)
    part: Graph = {key: data[key] for key in ("cell", "pbc")}
    part |= {key: data[key].index_select(0, atoms) for key in ("positions", "atom_types", "batch")}
    part["num_atoms"] = torch.full_like(data["num_atoms"], atoms.shape[0])
    for name, (start, stop) in bounds.items():
        index, shift = edge_set_key("edge_index", name), edge_set_key("edge_cell_shift", name)
        part[index], part[shift] = place[data[index][:, start:stop]], data[shift][start:stop]
    return atoms, part
