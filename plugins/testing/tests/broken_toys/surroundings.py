"""Model builders that break in surroundings which random structures do not have."""

import torch

from broken_toys.models import kit_of
from broken_toys.toy import caught_by, toys_of
from equipot.model import pair_index
from equipot_testing.toy import ToyEnergy


class FewTypes(ToyEnergy):
    """Pairs of types beyond the third changed by ``known``."""

    def known(self, types):
        return types

    def pairs(self, data):
        types = self.known(data["atom_types"])
        centre, neighbour = data["edge_index"]
        return pair_index(types.index_select(0, centre), types.index_select(0, neighbour), self.num_types)


@caught_by("five_types", "it is the same for O and N")
class ClampedTypes(FewTypes):
    """Takes a fourth type for the third."""

    def known(self, types):
        return types.clamp(max=2)


@caught_by("five_types", "it is the same for H and Cu")
class TypesModuloFour(FewTypes):
    """Finds the slot of a type by its remainder."""

    def known(self, types):
        return types % 4


@caught_by("five_types", "no weight changes the energy of N, so it cannot be trained")
class FrozenTypes(ToyEnergy):
    """Has weights for three types, and constants for the others."""

    def sums(self, data):
        weights, few = self.weights, self.num_types - 3
        if few:
            row = torch.arange(len(weights), device=weights.device)
            rare = (row // self.num_types >= 3) | (row % self.num_types >= 3)
            weights = torch.where(rare[:, None], weights.detach(), weights)
        with torch.nn.utils.stateless._reparametrize_module(self, {"weights": weights}):
            return super().sums(data)


@caught_by("pbc_flags", r"pbc \(False, False, True\): atomic_energy must be that without periodic images")
class ReadsFlags(ToyEnergy):
    """Takes the flags of periodic directions for a feature."""

    requires = (*ToyEnergy.requires, "pbc", "batch")

    def forward(self, data):
        energy = super().forward(data)["atomic_energy"]
        directions = data["pbc"].sum(1)[data["batch"]].to(energy.dtype)
        return {"atomic_energy": energy * (1 + 0.01 * directions)}


@caught_by("pbc_flags", "a slab with a large vacuum that is periodic too: atomic_energy must be")
class CountsBulk(ToyEnergy):
    """Embeds large crystals in another way than molecules and layers, by their flags."""

    requires = (*ToyEnergy.requires, "pbc", "batch", "num_atoms")

    def forward(self, data):
        energy = super().forward(data)["atomic_energy"]
        crystal = (data["pbc"].all(1) & (data["num_atoms"] > 5))[data["batch"]]
        return {"atomic_energy": torch.where(crystal, 1.01 * energy, energy)}


@caught_by("boundary_conditions", "slab with another vacuum: atomic_energy must not change")
class ByDensity(ToyEnergy):
    """Takes the density of a cell, vacuum and all, for a feature."""

    requires = (*ToyEnergy.requires, "cell", "batch", "num_atoms")

    def forward(self, data):
        volume = torch.linalg.det(data["cell"]).abs()
        has_cell = volume > 0
        density = torch.where(has_cell, data["num_atoms"] / torch.where(has_cell, volume, 1.0), 0.0)
        energy = super().forward(data)["atomic_energy"]
        return {"atomic_energy": energy * (1 + density[data["batch"]]).to(energy.dtype)}


class WithLength(ToyEnergy):
    """Adds the length of the vector sum to the energy."""

    def length(self, squares):
        return squares.sqrt()

    def forward(self, data):
        sums = self.sums(data)
        squares = sums[:, 1:].square().sum(1)
        occupied = torch.zeros_like(squares).index_add(0, data["edge_index"][0], self.envelope(data).to(sums.dtype)) > 0
        length = torch.where(occupied, self.length(torch.where(occupied, squares, 1.0)), 0.0)
        return {"atomic_energy": torch.tanh(sums[:, 0]) + length}


@caught_by("symmetric_structures", "fcc crystal, eval mode: forces must be finite")
class RootOfZero(WithLength):
    """Takes the length of a vector sum, without a small constant under the root."""


@caught_by("symmetric_structures", "rock salt, eval mode: forces that symmetry forbids must be 0: differs by")
class RootOfRounding(WithLength):
    """Takes the length of a vector sum, with 0 where the sum is exactly 0."""

    def length(self, squares):
        zero = squares == 0
        return torch.where(zero, 0.0, torch.where(zero, 1.0, squares).sqrt())


@caught_by("symmetric_structures", "gradients of the weights must be finite|train mode: forces must be finite")
class BreaksInTraining(WithLength):
    """Is differentiable once where the vector sum is 0, and not twice."""

    def length(self, squares):
        return squares.pow(1.25)


class Capped(ToyEnergy):
    """At most 150 neighbours, chosen by the order of ``ranked``."""

    def ranked(self, data):
        return data["edge_lengths"].detach()

    def envelope(self, data):
        centre = data["edge_index"][0]
        order = torch.argsort(self.ranked(data), stable=True)
        order = order[torch.argsort(centre[order], stable=True)]
        counts = torch.zeros_like(data["atom_types"]).index_add(0, centre, torch.ones_like(centre))
        starts = (counts.cumsum(0) - counts)[centre[order]]
        place = torch.empty_like(order).scatter(0, order, torch.ones_like(order).cumsum(0) - 1 - starts)
        return super().envelope(data) * (place < 150)


@caught_by("many_neighbours", "forces, over the largest energy, must be 0 by symmetry|each of them must count")
class NearestOnly(Capped):
    """Keeps the 150 nearest neighbours."""


@caught_by("many_neighbours", "forces, over the largest energy, must be 0 by symmetry|each of them must count")
class FirstOnly(Capped):
    """Keeps the first 150 neighbours of the list."""

    def ranked(self, data):
        return torch.zeros_like(data["edge_lengths"])


@caught_by("many_neighbours", "fails with RuntimeError: .*too many neighbours")
class FixedArray(ToyEnergy):
    """Has room for 128 neighbours of each atom."""

    def envelope(self, data):
        counts = torch.bincount(data["edge_index"][0]) if data["edge_index"].device.type == "cpu" else torch.zeros(1)
        if len(counts) and counts.max() > 128:
            raise RuntimeError("too many neighbours")
        return super().envelope(data)


@caught_by("smooth_at_cutoff", r"end as \(R - r\)\^2.0 at R = 4 Å: 1 derivatives are continuous, 2 are declared")
class QuadraticCutoff(ToyEnergy):
    """Declares force constants without jumps, and has a cutoff function whose curvature jumps."""

    def envelope(self, data):
        return (1.0 - data["normalized_edge_lengths"]).square()


def kit(energy):
    made = kit_of(energy)
    made.continuous_derivatives = 2 if energy is QuadraticCutoff else 1
    return made


TOYS = toys_of("model builder", __name__, kit)
