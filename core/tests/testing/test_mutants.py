"""Deliberately broken models, pair potentials and modifiers: each must be caught by the check meant for it."""

import copy
import dataclasses

import pytest
import torch

from equipot.declarations import ModifierEntry
from equipot.model import AppliedModifier, Derivatives, EnergyModule, PairEnergy, PairPotential
from equipot.model.context import pair_index
from equipot.nn.cutoff import polynomial_cutoff
from equipot.testing.conformance import ModelBuilderConformance, ModifierConformance, PairPotentialConformance
from equipot.testing.toy import ToyEnergy, ToyModel


class TestHealthyModel(ModelBuilderConformance):
    target = ToyModel


# ----------------------------------------------------------------------- broken models


class HardCutoff(ToyEnergy):
    def envelope(self, data):
        return torch.exp(-0.3 * data["edge_lengths"])


class KinkAtCutoff(ToyEnergy):
    def envelope(self, data):
        return 1.0 - data["normalized_edge_lengths"]


class Handed(ToyEnergy):
    """Adds the volume spanned by three sums of neighbours' vectors, which changes its sign in a mirror."""

    def forward(self, data):
        vectors, centre = data["edge_vectors"] * self.envelope(data)[:, None], data["edge_index"][0]
        zeros = torch.zeros(data["atom_types"].shape[0], 3, dtype=torch.float64)
        sums = [zeros.index_add(0, centre, vectors * data["edge_lengths"][:, None] ** power) for power in range(3)]
        volume = torch.linalg.cross(sums[0], sums[1], dim=1).mul(sums[2]).sum(1)
        return {"atomic_energy": super().forward(data)["atomic_energy"] + volume}


class Leaky(ToyEnergy):
    def forward(self, data):
        energy = super().forward(data)["atomic_energy"]
        return {"atomic_energy": energy - 0.1 * energy * energy.square().mean()}


class Scribbling(ToyEnergy):
    def forward(self, data):
        output = super().forward(data)
        data["atom_types"].zero_()
        return output


class NotExtensive(ToyEnergy):
    requires = (*ToyEnergy.requires, "batch", "num_atoms")

    def forward(self, data):
        energy = super().forward(data)["atomic_energy"]
        return {"atomic_energy": energy / data["num_atoms"][data["batch"]].to(energy.dtype)}


class TransposedCutoffs(ToyEnergy):
    """Takes the radius of ji where that of ij is meant."""

    def __init__(self, context):
        super().__init__(context)
        self.register_buffer("radii", context.cutoffs.T.reshape(-1), persistent=False)

    def envelope(self, data):
        return torch.exp(-0.3 * data["edge_lengths"]) * polynomial_cutoff(
            data["edge_lengths"] / self.radii[self.pairs(data)], 6.0
        )


class BreaksAtOneAtom(ToyEnergy):
    def forward(self, data):
        energy = super().forward(data)["atomic_energy"]
        return {"atomic_energy": energy + 0.0 * energy[1]}


class LiftedIsolatedAtom(ToyEnergy):
    def forward(self, data):
        return {"atomic_energy": super().forward(data)["atomic_energy"] + 1e-12}


class GlobalGenerator(ToyEnergy):
    def __init__(self, context):
        super().__init__(context)
        self.weights = torch.nn.Parameter(torch.randn(self.weights.shape, dtype=context.model_dtype))


class FrozenByAccident(ToyEnergy):
    def forward(self, data):
        energy = super().forward(data)["atomic_energy"]
        return {"atomic_energy": energy + self.weights.detach().square().sum() * energy}


class FartherThanDeclared(ToyEnergy):
    """Passes a message over two steps, but says ``strict``."""

    def forward(self, data):
        energy = super().forward(data)["atomic_energy"]
        centre, neighbour = data["edge_index"]
        message = energy[neighbour] * self.envelope(data)
        return {"atomic_energy": energy + torch.zeros_like(energy).index_add(0, centre, message) * energy}


class DefaultDtype(ToyEnergy):
    def forward(self, data):
        energy = super().forward(data)["atomic_energy"]
        return {"atomic_energy": energy * torch.tensor([1.0 / 3.0])}


class BranchesOnSizes(ToyEnergy):
    def forward(self, data):
        energy = super().forward(data)["atomic_energy"]
        return {"atomic_energy": 2 * energy if data["edge_index"].shape[1] > 100 else energy}


class Counting(ToyEnergy):
    def __init__(self, context):
        super().__init__(context)
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, data):
        self.calls += 1
        return super().forward(data)


class Noisy(ToyEnergy):
    def forward(self, data):
        energy = super().forward(data)["atomic_energy"]
        return {"atomic_energy": 1.01 * energy if self.training else energy}


class SinglePrecision(ToyEnergy):
    def envelope(self, data):
        lengths = (
            data["edge_lengths"].to(torch.bfloat16) if self.weights.dtype == torch.float32 else data["edge_lengths"]
        )
        return torch.exp(-0.3 * lengths) * polynomial_cutoff(data["normalized_edge_lengths"], 6.0)


class AlwaysDouble(ToyEnergy):
    def __init__(self, context):
        super().__init__(dataclasses.replace(context, model_dtype=torch.float64))


def builder_of(energy):
    @dataclasses.dataclass(frozen=True, kw_only=True)
    class Broken(ToyModel):
        """A toy model with a fault."""

        def build_energy(self, context) -> EnergyModule:
            return energy(context)

    return Broken


BROKEN_MODELS = [
    (HardCutoff, "smooth_at_cutoff", "energy must be continuous"),
    (KinkAtCutoff, "smooth_at_cutoff", "forces must be continuous"),
    (Handed, "rotation_and_inversion", "inversion: energies must not change"),
    (Leaky, "batch_equals_singles", "batch equals singles, bulk: atomic_energy: differs by"),
    (Scribbling, "inputs_not_changed", r"the batch must not be changed \(atom_types\)"),
    (NotExtensive, "extensivity", "energy must be 2 times that of the cell"),
    (TransposedCutoffs, "asymmetric_cutoffs", "H-C at the cutoff radius 2.8 Å: energy must be continuous"),
    (BreaksAtOneAtom, "empty_frames", "one atom in eval mode: the model fails with IndexError"),
    (LiftedIsolatedAtom, "isolated_atom", "isolated atom of type H without a cell: energy must be its shift E0"),
    (GlobalGenerator, "seed", "must not draw from the global generator"),
    (FrozenByAccident, "weight_gradients", "against finite differences: differs by"),
    (FartherThanDeclared, "locality", "an atom more than 1 cutoff radii away must not change the energy"),
    (DefaultDtype, "default_dtype", "run under another default dtype"),
    (BranchesOnSizes, "trace", "traced model"),
    (Counting, "state_unchanged_by_calls", "a call must not change energy.calls"),
    (Noisy, "train_equals_eval", "train mode against eval mode"),
    (SinglePrecision, "float32", "forces differ by"),
    (AlwaysDouble, "model_dtype", r"weights of other types: \['weights'\]"),
]


@pytest.mark.parametrize(
    ("energy", "check", "words"), BROKEN_MODELS, ids=lambda value: getattr(value, "__name__", None)
)
def test_broken_model_is_caught(energy, check, words):
    kit = type("Kit", (ModelBuilderConformance,), {"target": builder_of(energy)})()
    with pytest.raises(AssertionError, match=words):
        getattr(kit, f"test_{check}")()


# ------------------------------------------------------------------- broken derivatives


class Spoiled(Derivatives):
    """Another module's outputs with some of them changed."""

    provides = ("forces", "stress", "virial")

    def __init__(self, inner, change):
        super().__init__()
        self.inner, self.change = inner, change

    def forward(self, data, gradients):
        output = self.inner(data, gradients)
        return {**output, **self.change(output)}


BROKEN_DERIVATIVES = [
    ("forces doubled", lambda out: {"forces": 2 * out["forces"]}, "forces", "bulk: forces must be -dE/dR"),
    ("forces reversed", lambda out: {"forces": -out["forces"]}, "forces", "bulk: forces must be -dE/dR"),
    ("stress reversed", lambda out: {"stress": -out["stress"]}, "stress", "bulk: stress must be"),
    ("virial reversed", lambda out: {"virial": -out["virial"]}, "stress", "bulk: virial must be"),
    ("stress of molecules", lambda out: {"stress_mask": out["stress_mask"] | True}, "stress", "molecule: stress_mask"),
    ("only bulk has stress", lambda out: {"stress_mask": out["stress_mask"] & False}, "stress", "bulk: stress_mask"),
    ("net force", lambda out: {"forces": out["forces"] + 1e-3}, "isolated_atom", "force must be exactly 0"),
    ("stress not tensor", lambda out: {"stress": out["stress"].diagonal(dim1=1, dim2=2).diag_embed()},
     "rotation_and_inversion", "stress must turn along"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "change", "check", "words"), BROKEN_DERIVATIVES, ids=[row[0] for row in BROKEN_DERIVATIVES]
)
def test_broken_derivatives_are_caught(name, change, check, words):
    class Kit(ModelBuilderConformance):
        target = ToyModel

        def model(self, **changes):
            model = super().model(**changes)
            return model.replace(derivatives=Spoiled(model.derivatives, change))

    with pytest.raises(AssertionError, match=words):
        getattr(Kit(), f"test_{check}")()


# --------------------------------------------------------------- broken pair potentials


class Coulomb(PairEnergy):
    charges = (1.0, 2.0, 3.0)

    def forward(self, r, type_i, type_j):
        charges = torch.tensor(self.charges, dtype=torch.float64)
        return charges[type_i] * charges[type_j] / r


class OneSided(Coulomb):
    def forward(self, r, type_i, type_j):
        return super().forward(r, type_i, type_i)


class NoSlope(Coulomb):
    def forward(self, r, type_i, type_j):
        return super().forward(r.detach(), type_i, type_j) + 0.0 * r


class Coupled(Coulomb):
    def forward(self, r, type_i, type_j):
        return super().forward(r, type_i, type_j) * (1 + pair_index(type_i, type_j, 3).sum())


class Single(Coulomb):
    def forward(self, r, type_i, type_j):
        return super().forward(r, type_i, type_j).to(torch.float32)


class Infinite(Coulomb):
    def forward(self, r, type_i, type_j):
        return super().forward(r, type_i, type_j) * torch.where(r > 3.5, torch.inf, 1.0)


def pair_potential_of(function):
    @dataclasses.dataclass(frozen=True, kw_only=True)
    class Pairs(PairPotential):
        """A pair potential."""

        def build_pair_energy(self, context) -> PairEnergy:
            return function()

    return Pairs


class TestHealthyPairPotential(PairPotentialConformance):
    target = pair_potential_of(Coulomb)


class TwiceTheEnergy(pair_potential_of(Coulomb)):
    """Overrides what core does for it."""

    def build(self, context):
        module = super().build(context)
        module.register_forward_hook(lambda _module, _inputs, output: 2 * output)
        return module


BROKEN_PAIRS = [
    (pair_potential_of(OneSided), "symmetric", "swapping i and j"),
    (pair_potential_of(NoSlope), "gradient", "dE/dr of the pair function: differs by"),
    (pair_potential_of(NoSlope), "forces", "bulk: forces must be -dE/dR"),
    (pair_potential_of(Coupled), "pairs_independent", "some of the pairs: energies must not change"),
    (pair_potential_of(Single), "shape_and_dtype", "float64 energies, got torch.float32"),
    (pair_potential_of(Infinite), "shape_and_dtype", "must be finite"),
    (TwiceTheEnergy, "half_of_each_directed_edge", "H-H at 0.9 Å: energies of the two atoms: differs by"),
]


@pytest.mark.parametrize(("potential", "check", "words"), BROKEN_PAIRS)
def test_broken_pair_potential_is_caught(potential, check, words):
    kit = type("Kit", (PairPotentialConformance,), {"target": potential})()
    with pytest.raises(AssertionError, match=words):
        getattr(kit, f"test_{check}")()


# --------------------------------------------------------------------- broken modifiers


def in_place(model):
    model.derivatives = None
    return model.replace()


def copying(model):
    return model.replace(energy=copy.deepcopy(model.energy), derivatives=None)


def waking_up(model):
    return model.replace(derivatives=None).train()


def thawing(model):
    model.energy.weights.requires_grad_(True)
    return model.replace(derivatives=None)


def never_satisfied(model):
    return model.replace(derivatives=None)


def renaming(model):
    class Renamed(ToyEnergy):
        def __init__(self, inner):
            EnergyModule.__init__(self)
            self.inner = inner

    return model.replace(energy=Renamed(model.energy))


def open_ended(model, **anything):
    return model.replace(derivatives=None)


def positional(model, tolerance=1e-6):
    return model.replace(derivatives=None)


class ModifierKit(ModifierConformance):
    model_options = {"do_derivatives": True}  # noqa: RUF012 - read only

    def modified(self, model):
        result = self.target(model)
        if result is not model:
            result.modifiers = (*model.modifiers, AppliedModifier(self.name, {}, "broken", "0"))
        return result

    def entry(self):
        return ModifierEntry(name="broken", target="a.b", summary="", persistent=True)


@pytest.mark.parametrize(
    ("function", "check", "words"),
    [
        (in_place, "argument_not_changed", "the argument's slots must not be changed"),
        (copying, "shares_tensors", r"these are copies: \['energy.weights'\]"),
        (waking_up, "keeps_modes", "training=False must be kept"),
        (thawing, "argument_not_changed", "requires_grad must not be changed"),
        (never_satisfied, "idempotent", "the second time must return its argument"),
        (renaming, "shares_tensors", r"these do not: \['energy.weights'\]"),
        (open_ended, "no_open_options", r"\*\*anything"),
        (positional, "signature", "'tolerance' must be keyword-only and annotated"),
        (positional, "options_documented", r"these are not: \['tolerance'\]"),
    ],
)
def test_broken_modifier_is_caught(function, check, words):
    kit = type("Kit", (ModifierKit,), {"target": staticmethod(function), "name": "broken"})()
    with pytest.raises(AssertionError, match=words):
        getattr(kit, f"test_{check}")()


# ---------------------------------------------------------------------- the flags


def test_expected_failure_must_name_a_check():
    with pytest.raises(TypeError, match="no check named 'rotation'"):
        type("Kit", (ModelBuilderConformance,), {"expected_failures": {"rotation": "it is spelled otherwise"}})


def test_expected_failure_is_strict_and_stays_with_its_class():
    flagged = type("Kit", (ModelBuilderConformance,), {"expected_failures": {"locality": "global by design"}})
    (mark,) = flagged.test_locality.pytestmark
    assert mark.name == "xfail"
    assert mark.kwargs == {"strict": True, "reason": "global by design"}
    assert not hasattr(ModelBuilderConformance.test_locality, "pytestmark")
