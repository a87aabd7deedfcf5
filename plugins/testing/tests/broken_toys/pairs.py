"""Broken pair potentials."""

import dataclasses
from typing import ClassVar

import torch

from broken_toys.toy import caught_by, toys_of
from equipot.model import PairEnergy, PairPotential, pair_index
from equipot_testing.conformance import PairPotentialConformance


class Coulomb(PairEnergy):
    """A healthy one."""

    charges: ClassVar = {"H": 1.0, "C": 2.0, "O": 3.0, "N": 4.0, "Cu": 5.0}

    def __init__(self, names=("H", "C", "O")):
        super().__init__()
        self.names = names

    def forward(self, r, type_i, type_j):
        charges = torch.tensor([self.charges[name] for name in self.names], dtype=torch.float64)
        return charges[type_i] * charges[type_j] / r


@caught_by("symmetric", "swapping i and j")
class OneSided(Coulomb):
    """Takes the type of the centre twice."""

    def forward(self, r, type_i, type_j):
        return super().forward(r, type_i, type_i)


@caught_by("gradient", "dE/dr of the pair function: differs by")
class NoSlope(Coulomb):
    """Detaches the distance."""

    def forward(self, r, type_i, type_j):
        return super().forward(r.detach(), type_i, type_j) + 0.0 * r


@caught_by("pairs_independent", "some of the pairs: energies must not change")
class Coupled(Coulomb):
    """Sums over all pairs."""

    def forward(self, r, type_i, type_j):
        return super().forward(r, type_i, type_j) * (1 + pair_index(type_i, type_j, 3).sum())


@caught_by("shape_and_dtype", "float64 energies, got torch.float32")
class Single(Coulomb):
    """Gives float32 energies."""

    def forward(self, r, type_i, type_j):
        return super().forward(r, type_i, type_j).to(torch.float32)


@caught_by("shape_and_dtype", "must be finite")
class Infinite(Coulomb):
    """Overflows at large distances."""

    def forward(self, r, type_i, type_j):
        return super().forward(r, type_i, type_j) * torch.where(r > 3.5, torch.inf, 1.0)


@caught_by("inputs_and_state", "a call must not change the state")
class Counting(Coulomb):
    """Counts its calls in a buffer."""

    def __init__(self, names):
        super().__init__(names)
        self.register_buffer("calls", torch.zeros((), dtype=torch.float64))

    def forward(self, r, type_i, type_j):
        self.calls += 1
        return super().forward(r, type_i, type_j)


@caught_by("five_types", "H-O in a model of 5 types: energies must be those in a model of these two: differs by")
class ByIndex(Coulomb):
    """Has charges by the place in the list of types, whatever the element."""

    def forward(self, r, type_i, type_j):
        return (1.0 + type_i) * (1.0 + type_j) / r


@caught_by("trace", "traced model.*: fails with RuntimeError")
class RemembersTheExample(Coulomb):
    """Makes a Python number of the number of pairs, which a trace keeps."""

    def forward(self, r, type_i, type_j):
        return super().forward(r, type_i, type_j) * torch.ones(int(r.shape[0]), dtype=r.dtype)


def pair_potential_of(function):
    @dataclasses.dataclass(frozen=True, kw_only=True)
    class Pairs(PairPotential):
        """A pair potential."""

        def build_pair_energy(self, context) -> PairEnergy:
            return function(context.type_names)

    return Pairs


@caught_by("half_of_each_directed_edge", "H-H at 0.9 Å: energies of the two atoms: differs by")
class TwiceTheEnergy(pair_potential_of(Coulomb)):
    """Doubles its energy, since it forgets that core adds both directions of an edge."""

    def build(self, context):
        module = super().build(context)
        module.register_forward_hook(lambda _module, _inputs, output: 2 * output)
        return module


@caught_by("half_of_each_directed_edge", "energies of the two atoms: differs by")
class ConstantPerAtom(pair_potential_of(Coulomb)):
    """Adds a constant to each atom."""

    def build(self, context):
        module = super().build(context)
        module.register_forward_hook(lambda _module, _inputs, output: output + 1e-6)
        return module


@caught_by("units", "data in other units must be refused")
@dataclasses.dataclass(frozen=True, kw_only=True)
class AnyUnits(pair_potential_of(Coulomb)):
    """Has units but lets data in any pass."""

    units: str = "metal"
    """Unit system."""

    def problems(self):
        return ()

    def expected_units(self):
        return _Forgiving(self.units)


class _Forgiving(str):
    """Equals every unit system."""

    __slots__ = ()

    def __eq__(self, other):
        return True

    __hash__ = str.__hash__


@caught_by("species", "species in another order must be refused")
@dataclasses.dataclass(frozen=True, kw_only=True)
class AnyOrder(pair_potential_of(Coulomb)):
    """Takes the species and does not compare them with the model's."""

    chemical_species: list[str] | None = None
    """Species of the types."""

    def expected_species(self):
        return None


def kit_of(component):
    target = component if issubclass(component, PairPotential) else pair_potential_of(component)
    return type(f"Kit{component.__name__}", (PairPotentialConformance,), {"target": target})


TOYS = toys_of("pair potential", __name__, kit_of)
