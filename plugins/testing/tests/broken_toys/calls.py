"""Model builders that break when they are called often, with other frames in turn, or from two threads."""

import dataclasses
from typing import Any

import torch

from broken_toys.models import kit_of
from broken_toys.toy import Toy, caught_by, toys_of
from equipot.nn.cutoff import polynomial_cutoff
from equipot.options import Options
from equipot_testing.conformance import ModelBuilderConformance
from equipot_testing.toy import ToyEnergy, ToyModel


@caught_by("many_calls", r"the same frame after 500 calls \(atomic_energy\)")
class Tiring(ToyEnergy):
    """Computes in single precision from the 300th call on."""

    calls = 0

    def forward(self, data):
        self.calls += 1
        energy = super().forward(data)["atomic_energy"]
        return {"atomic_energy": energy if self.calls < 300 else energy.float().to(energy.dtype)}


@caught_by("interleaved_frames", "the molecule with its types in another order after the first molecule again")
class KeepsTypes(ToyEnergy):
    """Looks up types only when atoms have moved, and so misses swaps."""

    kept = None

    def pairs(self, data):
        lengths = data["edge_lengths"].detach()
        if self.kept is None or self.kept[0].shape != lengths.shape or not torch.equal(self.kept[0], lengths):
            self.kept = lengths, super().pairs(data)
        return self.kept[1]


@caught_by("interleaved_frames", "the molecule with atoms moved by 1e-7 Å after a molecule")
class KeepsEnergies(ToyEnergy):
    """Takes the energies of the last frame, to first order, if no atom has moved by more than 1e-6 Å."""

    kept = None

    def forward(self, data):
        types, lengths = data["atom_types"], data["edge_lengths"]
        output = super().forward(data)
        if (
            not self.training
            and self.kept is not None
            and self.kept[0].shape == types.shape
            and self.kept[1].shape == lengths.shape
        ):
            near = torch.equal(self.kept[0], types) and bool(((self.kept[1] - lengths).abs() < 1e-6).all())
            if near:
                output["atomic_energy"] = output["atomic_energy"] - output["atomic_energy"].detach() + self.kept[2]
        self.kept = types, lengths.detach(), output["atomic_energy"].detach()
        return output


@caught_by("two_threads", "frame . of two that two threads compute at the same time: atomic_energy: differs by")
class Attribute(ToyEnergy):
    """Hands lengths from one method to another in an attribute."""

    def envelope(self, data):
        return torch.exp(-0.3 * self.lengths) * polynomial_cutoff(data["normalized_edge_lengths"], 6.0)

    def forward(self, data):
        self.lengths = data["edge_lengths"]
        return super().forward(data)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Nesting(ToyModel):
    """A model with an option that is an object."""

    inner: Any = None
    """Not used."""


class Anything(Options):
    """Takes any option."""

    def __init__(self, **options):
        pass


class LaxKit(ModelBuilderConformance):
    target = Nesting
    options = {"inner": Anything(width=3)}  # noqa: RUF012 - read only


class ObjectKit(ModelBuilderConformance):
    target = Nesting
    options = {"inner": torch.nn.Tanh()}  # noqa: RUF012 - read only


ROWS = [
    ("NestsAnything", "Has an option inside which any option is taken", LaxKit, "option inside inner must be refused"),
    ("NestsModule", "Takes a module of torch for an option", ObjectKit, "inner: a Tanh cannot be written to a config"),
]

TOYS = [
    *toys_of("model builder", __name__, kit_of),
    *(Toy(f"model builder: {name}", fault, kit, "nested_options", words) for name, fault, kit, words in ROWS),
]
