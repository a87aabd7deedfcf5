"""Models whose processes exchange features between layers, so that ghosts need no edges of their own."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import torch

from equipot.artifacts._golden import TOLERANCE, random_frames
from equipot.graph import Graph, edge_set_key
from equipot.model._edge_forces import with_edge_forces
from equipot.model._graph_model import GraphModel
from equipot.model._locality import hops_of, reads_of, sees_neighbours
from equipot.nn.exchange import CalledExchange, GhostExchange
from equipot.nn.slots import replace_slots


def with_exchange(model: GraphModel) -> GraphModel:
    """A model that calls ``equipot::exchange`` between its layers, if ghosts then need no edges.

    Whether they do is tried: each component must call its ``GhostExchange`` at least k - 1 times if it is of locality
    ``hops(k)`` beyond what it reads of other components, and once more for that; and energies and forces of a periodic
    frame must stay the same if its images are ghosts without edges whose features come from their owners. A head that
    reads what the model made of an atom's neighbours has no exchange.

    Args:
        model: An eager model with forces in eval mode; it is not changed.

    Returns:
        A model that shares all tensors with this one; the model itself if it passes no messages, or if its calls do
        not suffice.
    """
    reaching = any(
        sees_neighbours(head) and hops_of(locality) > 1
        for (_, head), locality in zip(model.heads(), model.head_localities(), strict=True)
    )
    if reaching or not model.info.locality.startswith("hops(") or not _suffices(model):
        return model
    return _replaced(model, lambda _name: CalledExchange())


class _FromOwners(torch.nn.Module):
    """What an engine does, for ghosts whose owners are in the same frame; counts its calls."""

    def __init__(self, owners: torch.Tensor) -> None:
        super().__init__()
        self.owners, self.calls = owners, 0

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        return features.index_select(0, self.owners)


def _replaced(model: GraphModel, make: Callable[[str], torch.nn.Module]) -> GraphModel:
    """The model with another module at each exchange, made with the name of the component."""

    def visit(name: str, part: Any) -> Any:
        return replace_slots(part, lambda slot: make(name) if isinstance(slot, GhostExchange) else None)

    parts = {name: visit(name, part) for name, part in model.components()}
    energy = parts.pop("energy")
    return model.replace(energy=energy, energy_terms=parts)


def _suffices(model: GraphModel) -> bool:
    """Whether exchanges give the energies and edge forces of a frame when its images are ghosts without edges."""
    model = with_edge_forces(model)
    device = next(iter(model.state_dict().values())).device
    info = dataclasses.replace(model.info, inputs=(*model.info.inputs, "owned"))
    whole = {key: value.to(device) for key, value in random_frames(info)["triclinic"].items()}
    spread, owners = _spread(whole, model.info.edge_set_names)
    made: dict[str, _FromOwners] = {}
    exchanging = _replaced(model, lambda name: made.setdefault(name, _FromOwners(owners)))
    expected, found = model(whole), exchanging(spread)
    for (name, part), locality in zip(model.components(), model.localities(), strict=True):
        read = hops_of(model.energy.locality) if name != "energy" and reads_of(part, model.energy) else 1
        needed = hops_of(locality) - read
        if needed > 0 and (name not in made or made[name].calls < needed):
            return False
    n_atoms = len(whole["atom_types"])
    pairs = [(expected["atomic_energy"], found["atomic_energy"][:n_atoms])]
    for name in model.info.edge_set_names:
        key = edge_set_key("edge_forces", name)
        pairs.append((expected[key], found[key]))
    tolerance = TOLERANCE[model.info.model_dtype]
    return all(bool((one - other).abs().max() <= tolerance * one.abs().max()) for one, other in pairs if one.numel())


def _spread(frame: Graph, edge_set_names: tuple[str, ...]) -> tuple[Graph, torch.Tensor]:
    """A periodic frame with its images as ghosts, and the atom that each atom and ghost is an image of.

    Edges are those of the frame, in the same order: their centres are owned, and images have none.
    """
    n_atoms = len(frame["atom_types"])
    device = frame["atom_types"].device
    places: dict[tuple[int, ...], int] = {(atom, 0, 0, 0): atom for atom in range(n_atoms)}
    spread = dict(frame)
    for name in edge_set_names:
        index_key, shift_key = edge_set_key("edge_index", name), edge_set_key("edge_cell_shift", name)
        centre, neighbour = frame[index_key]
        images = torch.cat([neighbour.unsqueeze(1), frame[shift_key].round().to(torch.int64)], 1).tolist()
        ghosts = [places.setdefault(tuple(image), len(places)) for image in images]
        spread[index_key] = torch.stack([centre, torch.tensor(ghosts, dtype=torch.int64, device=device)])
        spread[shift_key] = torch.zeros_like(frame[shift_key])
    table = torch.tensor(list(places), dtype=torch.int64, device=device).reshape(-1, 4)
    owners = table[:, 0]
    spread["positions"] = frame["positions"][owners] + table[:, 1:].to(torch.float64) @ frame["cell"][0]
    spread["cell"], spread["pbc"] = torch.zeros_like(frame["cell"]), torch.zeros_like(frame["pbc"])
    spread["atom_types"], spread["batch"] = frame["atom_types"][owners], torch.zeros_like(owners)
    spread["num_atoms"] = torch.full_like(frame["num_atoms"], len(owners))
    spread["owned"] = torch.arange(len(owners), device=device) < n_atoms
    return spread, owners
