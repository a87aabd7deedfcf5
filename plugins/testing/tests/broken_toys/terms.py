"""Broken energy terms, and two healthy ones."""

import dataclasses

import torch

from broken_toys.heads import FIELDS
from broken_toys.toy import caught_by, toys_of
from equipot.model import EnergyTerm, EnergyTermModule
from equipot.nn.cutoff import polynomial_cutoff
from equipot.plugins import plugins
from equipot_testing.conformance import EnergyTermConformance

RADIUS = 5.5
"""Radius in Å of edges of their own."""


def _sum(data, energies):
    zeros = torch.zeros(data["atom_types"].shape[0], dtype=torch.float64, device=energies.device)
    return zeros.index_add(0, data["edge_index"][0], energies)


class Dispersion(EnergyTermModule):
    """Attraction with a radius of its own, as it should be."""

    requires = ("edge_lengths", "normalized_edge_lengths", "edge_index", "atom_types")
    r_max = RADIUS

    def radial(self, lengths):
        return -0.5 / (2.0 + lengths.square())

    def forward(self, data):
        energies = self.radial(data["edge_lengths"]) * polynomial_cutoff(data["normalized_edge_lengths"], 6.0)
        return _sum(data, energies)


class ByHand(EnergyTermModule):
    """Computes vectors from positions, cells and shifts that it declares, as it should be."""

    requires = ("positions", "cell", "batch", "edge_index", "edge_cell_shift", "atom_types")
    r_max = RADIUS

    def vectors(self, data):
        centre, neighbour = data["edge_index"]
        shift = data["edge_cell_shift"]
        moved = torch.einsum("ek,ekl->el", shift, data["cell"][data["batch"][centre]])
        return data["positions"][neighbour] - data["positions"][centre] + moved

    def forward(self, data):
        lengths = self.vectors(data).square().sum(1).sqrt()
        return _sum(data, -polynomial_cutoff(lengths / RADIUS, 6.0))


@caught_by("runs", "reads the field 'positions', which its 'requires' does not name")
class Undeclared(ByHand):
    """Recomputes distances from positions that it does not declare."""

    requires = ("cell", "batch", "edge_index", "edge_cell_shift", "atom_types")


@caught_by("forces", "forces must be -dE/dR")
class BehindAutograd(ByHand):
    """Recomputes distances from a detached copy of the positions."""

    def forward(self, data):
        return super().forward({**data, "positions": data["positions"].detach()})


@caught_by("stress", "virial must be")
class RigidCell(ByHand):
    """Forgets that energies depend on the cell vectors."""

    def forward(self, data):
        return super().forward({**data, "cell": data["cell"].detach()})


@caught_by("smooth_at_cutoff", "energy must be continuous")
class CutOff(Dispersion):
    """Is cut off at its radius."""

    def forward(self, data):
        return _sum(data, self.radial(data["edge_lengths"]))


@caught_by("image_wrapping", "periodic images: atomic_energy must not change")
class WeighsImages(Dispersion):
    """Takes images of an atom for other atoms."""

    requires = (*Dispersion.requires, "edge_cell_shift")

    def forward(self, data):
        cutoff = polynomial_cutoff(data["normalized_edge_lengths"], 6.0)
        weight = 1 + 0.01 * data["edge_cell_shift"].square().sum(1)
        return _sum(data, self.radial(data["edge_lengths"]) * cutoff * weight)


@caught_by("isolated_atom", "energy must be its shift E0")
class LiftsAtoms(Dispersion):
    """Adds a constant to each atom."""

    def forward(self, data):
        return super().forward(data) + 1e-9


@caught_by("adds_to_the_model", "the term must add energy")
class Idle(Dispersion):
    """Adds nothing."""

    def forward(self, data):
        return 0.0 * super().forward(data)


@caught_by("five_types", "H-Cu in a model of 5 types: energies must be those in a model of these two: differs by")
class FourTypes(Dispersion):
    """Knows four types and takes a fifth for the fourth."""

    def forward(self, data):
        types = data["atom_types"].index_select(0, data["edge_index"][1])
        cutoff = polynomial_cutoff(data["normalized_edge_lengths"], 6.0)
        depth = torch.tensor([1.0, 1.0, 1.0, 1.0, 2.0], dtype=torch.float64, device=cutoff.device)
        return _sum(data, depth[types] * self.radial(data["edge_lengths"]) * cutoff)


@caught_by("batch_equals_singles", "batch equals singles")
class LeaksOverFrames(Dispersion):
    """Screens by the mean distance in the batch."""

    def radial(self, lengths):
        return super().radial(lengths) * (1 + 0.01 * lengths.mean().nan_to_num(0.0))


@caught_by("extensivity", "energy must be 2 times that of the cell")
class GrowsWithSize(Dispersion):
    """Grows with the number of atoms."""

    requires = (*Dispersion.requires, "batch", "num_atoms")

    def forward(self, data):
        return super().forward(data) * data["num_atoms"][data["batch"]]


@caught_by("repeatable", "the same call again")
class Jittery(Dispersion):
    """Draws noise from the global generator in each call."""

    def forward(self, data):
        return super().forward(data) * (1 + 1e-6 * torch.rand(1, dtype=torch.float64))


class FromFeatures(Dispersion):
    """Attraction that grows with the first feature of atoms, as it should be; it needs a model with features."""

    requires = (*Dispersion.requires, "node_features")

    def strength(self, data):
        return data["node_features"][:, 0].to(torch.float64)

    def forward(self, data):
        return torch.tanh(self.strength(data)).square() * super().forward(data)


class FromCharges(FromFeatures):
    """Attraction that grows with charges which the model predicts, as it should be."""

    requires = (*Dispersion.requires, "toy_charges")

    def strength(self, data):
        return data["toy_charges"].to(torch.float64)


@caught_by("rotation_and_inversion", "energies must not change")
class FirstComponent(FromFeatures):
    """Takes a component of the model's vector features for a scalar."""

    def strength(self, data):
        return data["node_features"][:, 1].to(torch.float64)


@caught_by("forces", "forces must be -dE/dR")
class FixedCharges(FromCharges):
    """Forgets that the charges of the model depend on positions."""

    def strength(self, data):
        return super().strength(data).detach()


@caught_by("extensivity", "energy must be")
class TotalCharge(FromCharges):
    """Takes the charge of the frame for that of the atom."""

    requires = (*FromCharges.requires, "batch", "num_atoms")

    def strength(self, data):
        charges = super().strength(data)
        return charges.new_zeros(len(data["num_atoms"])).index_add(0, data["batch"], charges)[data["batch"]]


@caught_by("boundary_conditions", "slab with another vacuum: atomic_energy must not change")
class ByDensity(ByHand):
    """Grows with the density of a cell, whose vacuum it counts."""

    requires = (*ByHand.requires, "num_atoms")

    def forward(self, data):
        volume = torch.linalg.det(data["cell"]).abs()
        has_cell = volume > 0
        density = torch.where(has_cell, data["num_atoms"] / torch.where(has_cell, volume, 1.0), 0.0)
        return super().forward(data) * (1 + density[data["batch"]])


@caught_by("runs", "fails with IndexError: .*wire")
class NoWires(Dispersion):
    """Has no formula for wires, and does not say so."""

    requires = (*Dispersion.requires, "pbc")

    def forward(self, data):
        if (data["pbc"].sum(1) == 1).any():
            raise IndexError("no formula for a wire")
        return super().forward(data)


@caught_by("many_neighbours", "each of them must count|must be 0 by symmetry")
class Strongest(Dispersion):
    """Leaves out what adds little: all but the nearest neighbours where there are many."""

    def forward(self, data):
        lengths, centre = data["edge_lengths"], data["edge_index"][0]
        counts = torch.zeros_like(lengths[: len(data["atom_types"])].new_zeros(len(data["atom_types"])))
        counts = counts.index_add(0, centre, torch.ones_like(lengths))[centre]
        cutoff = polynomial_cutoff(data["normalized_edge_lengths"], 6.0)
        near = (counts < 150) | (lengths < 0.7 * RADIUS)
        return _sum(data, self.radial(lengths) * cutoff * near)


def options_of(module):
    @dataclasses.dataclass(frozen=True, kw_only=True)
    class Term(EnergyTerm):
        """A term."""

        strength: float = 1.0
        """Not used."""

        def own_r_max(self):
            return RADIUS

        def build(self, context):
            return module()

    return Term


class WithCharges(EnergyTermConformance):
    """Declares a field for charges while it works."""

    def recipe(self, **changes):
        plugins().fields.update({field.key: field for field in FIELDS})
        return super().recipe(**changes)


def kit_of(module):
    base = WithCharges if issubclass(module, FromCharges) else EnergyTermConformance
    return type(f"Kit{module.__name__}", (base,), {"target": options_of(module)})


TOYS = toys_of("energy term", __name__, kit_of)
