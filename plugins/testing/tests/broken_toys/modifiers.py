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


@caught_by("shares_tensors", r"these are copies: \['energy.weights'\]")
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


def kit_of(function):
    attributes = {"target": staticmethod(function), "model_options": {"do_derivatives": True}}
    if function is unasked:
        facts = {"name": function.__name__, "target": "undeclared.function", "summary": ""}
        attributes["entry"] = lambda _: ModifierEntry(**facts, persistent=False, automatic=True)
    return type(f"Kit_{function.__name__}", (ModifierConformance,), attributes)


TOYS = toys_of("modifier", __name__, kit_of)
