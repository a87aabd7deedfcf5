"""Energy terms with something of their own: longer edges, or a field that they read."""

import dataclasses

import torch

from equipot.model import EnergyTerm, EnergyTermModule


class FarRepulsion(EnergyTermModule):
    """A term with its own, longer edges."""

    requires = ("edge_lengths", "normalized_edge_lengths", "edge_index", "atom_types")
    r_max = 5.5

    def forward(self, data):
        x = data["normalized_edge_lengths"]
        edges = (1.0 - x) ** 3 / data["edge_lengths"]
        zeros = torch.zeros(data["atom_types"].shape[0], dtype=edges.dtype)
        return zeros.index_add(0, data["edge_index"][0], edges)


@dataclasses.dataclass(frozen=True, kw_only=True)
class FarTerm(EnergyTerm):
    """Its options."""

    def own_r_max(self):
        return FarRepulsion.r_max

    def build(self, context):
        return FarRepulsion()


class ChargeTermModule(EnergyTermModule):
    """Adds the net charge of the frame to every atom's energy."""

    requires = ("total_charge", "atom_types")

    def forward(self, data):
        assert set(data) == set(self.requires)  # a term is given no more than it asks for
        return data["total_charge"].expand(len(data["atom_types"]))


@dataclasses.dataclass(frozen=True, kw_only=True)
class ChargeTerm(EnergyTerm):
    """Its options."""

    def build(self, context):
        return ChargeTermModule()


class ReadingTerm(EnergyTermModule):
    """Reads the fields that it is given, and adds nothing."""

    def __init__(self, reads, r_max, locality):
        super().__init__()
        self.requires, self.r_max, self.locality = (*reads, "atom_types"), r_max, locality

    def forward(self, data):
        return torch.zeros(len(data["atom_types"]), dtype=torch.float64)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Reads(EnergyTerm):
    """Its options."""

    fields: tuple[str, ...] = ()
    radius: float | None = None
    locality: str = "strict"

    def own_r_max(self):
        return self.radius

    def build(self, context):
        return ReadingTerm(self.fields, self.radius, self.locality)


class Confined(EnergyTermModule):
    """A term that reads positions."""

    requires = ("positions",)

    def forward(self, data):
        return 0.1 * data["positions"].square().sum(1)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Trap(EnergyTerm):
    """Its options."""

    def build(self, context):
        return Confined()
