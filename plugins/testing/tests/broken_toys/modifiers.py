"""Broken modifiers: each is meant to take the derivatives from a model."""

import copy

import torch

from broken_toys.toy import caught_by, toys_of
from equipot.declarations import ModifierEntry
from equipot.model import Derivatives, EnergyModule
from equipot_testing.conformance import ModifierConformance
from equipot_testing.toy import ToyEnergy


@caught_by("argument_not_changed", "the argument's slots must not be changed")
def in_place(model):
    """Empties the slot of its argument."""
    if model.derivatives is None:
        return model
    model.derivatives = None
    return model.replace()


@caught_by("shares_tensors", r"must share memory, these are copies: \['energy.weights'\]")
def copying(model):
    """Copies the energy module."""
    if model.derivatives is None:
        return model
    return model.replace(energy=copy.deepcopy(model.energy), derivatives=None)


@caught_by("keeps_modes", "training=False must be kept")
def waking_up(model):
    """Puts its result into train mode."""
    if model.derivatives is None:
        return model
    return model.replace(derivatives=None).train()


@caught_by("argument_not_changed", "requires_grad must not be changed")
def thawing(model):
    """Lets frozen weights train again."""
    if model.derivatives is None:
        return model
    model.energy.weights.requires_grad_(True)
    return model.replace(derivatives=None)


@caught_by("idempotent", "the second time must return its argument")
def never_satisfied(model):
    """Does it again when it is done already."""
    return model.replace(derivatives=None)


class Renamed(EnergyModule):
    """A level more in the keys of the state dict."""

    requires = ToyEnergy.requires

    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def forward(self, data):
        return self.inner(data)


@caught_by("shares_tensors", r"these do not: \['energy.weights'\]")
def renaming(model):
    """Wraps the energy module."""
    if model.derivatives is None:
        return model
    return model.replace(energy=Renamed(model.energy), derivatives=None)


class Scaled(ToyEnergy):
    """The energies, a little off."""

    def __init__(self, inner):
        EnergyModule.__init__(self)
        self.weights, self.num_types = inner.weights, inner.num_types

    def forward(self, data):
        return {"atomic_energy": super().forward(data)["atomic_energy"] * (1 + 1e-12)}


def frozen(model, weights):
    """A model whose energy module has these weights, without gradients, and no derivatives."""
    energy = copy.copy(model.energy)
    energy._parameters = {**energy._parameters, "weights": torch.nn.Parameter(weights, requires_grad=False)}
    return model.replace(energy=energy, derivatives=None)


def freezing(model):
    """Freezes the weights, as it should be: a new parameter on the same memory."""
    return model if model.derivatives is None else frozen(model, model.energy.weights.detach())


@caught_by("shares_tensors", r"must share memory, these are copies: \['energy.weights'\]")
def freezing_a_copy(model):
    """Freezes a copy of the weights."""
    return model if model.derivatives is None else frozen(model, model.energy.weights.detach().clone())


@caught_by("shares_tensors", r"must share memory, these are copies: \['energy.weights'\]")
def freezing_transposed(model):
    """Freezes the weights on the same memory, but in another order."""
    if model.derivatives is None:
        return model
    weights = model.energy.weights.detach()
    return frozen(model, weights.view(weights.shape[1], -1).T)


@caught_by("keeps_modes", r"requires_grad must be kept, it is not for \['energy.weights'\]")
def freezing_silently(model):
    """Freezes more than it declares."""
    return freezing(model)


def adapting(model):
    """Puts the energy module into an adapter, as it should be."""
    return model if model.derivatives is None else model.replace(energy=Renamed(model.energy), derivatives=None)


@caught_by("shares_tensors", r"must share memory, these are copies: \['energy.weights'\]")
def adapting_a_copy(model):
    """Puts a copy of the energy module into an adapter."""
    if model.derivatives is None:
        return model
    return model.replace(energy=Renamed(copy.deepcopy(model.energy)), derivatives=None)


@caught_by("shares_tensors", "a modifier that renames tensors must be declared persistent")
def adapting_for_now(model):
    """Puts the energy module into an adapter that stored models do not have."""
    return adapting(model)


@caught_by("energies", "the modifier must keep atomic_energy")
def another_model(model):
    """Changes the energies by rounding."""
    if model.derivatives is None:
        return model
    return model.replace(energy=Scaled(model.energy), derivatives=None)


@caught_by("unknown_option", "an unknown option must be refused")
def open_ended(model, **anything):
    """Takes any option."""
    return model if model.derivatives is None else model.replace(derivatives=None)


@caught_by("signature", "'tolerance' must be keyword-only and annotated")
def positional(model, tolerance: float = 1e-6):
    """Takes its option by position.

    Args:
        model: The model.
        tolerance: Not used.
    """
    return model if model.derivatives is None else model.replace(derivatives=None)


@caught_by("options_documented", r"these are not: \['tolerance'\]")
def undocumented(model, *, tolerance: float = 1e-6):
    """Does not say what its option means."""
    return model if model.derivatives is None else model.replace(derivatives=None)


@caught_by("global_state", "the precision of float32 products")
def precise(model):
    """Sets the precision of products for the whole process."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest" if before == "medium" else "medium")
    return model if model.derivatives is None else model.replace(derivatives=None)


class RoundedForces(Derivatives):
    """Forces in single precision."""

    def __init__(self, inner):
        super().__init__()
        self.inner, self.provides = inner, inner.provides

    def forward(self, data, gradients):
        found = self.inner(data, gradients)
        return {**found, "forces": found["forces"].to(torch.float32).to(torch.float64)}


@caught_by("automatic", "an automatic modifier must keep forces: differs by")
def unasked(model):
    """Is applied without being asked for, and rounds the forces."""
    if isinstance(model.derivatives, RoundedForces):
        return model
    return model.replace(derivatives=RoundedForces(model.derivatives))


def thawed(kit):
    """The model to modify, with weights that are trained."""
    model = ModifierConformance.model(kit)
    model.energy.weights.requires_grad_(True)
    return model


def kit_of(function):
    attributes = {"target": staticmethod(function), "model_options": {"do_derivatives": True}}
    if function is unasked:
        facts = {"name": function.__name__, "target": "undeclared.function", "summary": ""}
        attributes["entry"] = lambda _: ModifierEntry(**facts, persistent=False, automatic=True)
    if function.__name__.startswith(("freezing", "adapting")):
        attributes["model"] = thawed
        attributes["trains"] = () if function is freezing_silently else ("energy.weights",)
        attributes["renames"] = function.__name__.startswith("adapting")
    if function is adapting_for_now:
        facts = {"name": function.__name__, "target": "undeclared.function", "summary": ""}
        attributes["entry"] = lambda _: ModifierEntry(**facts, persistent=False)
    return type(f"Kit_{function.__name__}", (ModifierConformance,), attributes)


TOYS = toys_of("modifier", __name__, kit_of)
