"""Broken export targets, and a sound one."""

import dataclasses
import itertools
import time

import torch

from broken_toys.toy import caught_by, toys_of
from equipot.compile import ExportTarget
from equipot.model import Derivatives, ScaleShift
from equipot_testing.conformance import ExportTargetConformance

ENERGIES = ("atomic_energy", "total_energy")


class Sound(ExportTarget):
    """An engine with ghost atoms, which has charges but no spins."""

    inputs = ("owned",)
    outputs = (*ENERGIES, "forces", "virial")
    optional_inputs = ("total_charge",)
    localities = ("strict", "hops")


@caught_by("facts", "outputs must include")
class ForcesAlone(Sound):
    """Leaves out the energies."""

    outputs = ("forces",)


@caught_by("facts", "localities must be of")
class OwnWords(Sound):
    """States a locality in words of its own."""

    localities = ("strict", "message passing")


_numbers = itertools.count()


@caught_by("facts", "two instances must be equal")
@dataclasses.dataclass(frozen=True)
class Numbered(Sound):
    """Numbers its instances."""

    number: int = dataclasses.field(default_factory=lambda: next(_numbers))
    """Number of this instance."""


@caught_by("localities", "a strict model must be served: choosy: not today")
class Choosy(Sound):
    """Refuses every model."""

    def refusals(self, info):
        return ["choosy: not today"]


@caught_by("missing_outputs", "a model without forces must be served")
class Grumpy(Sound):
    """Refuses models without forces, which it does not need."""

    outputs = ENERGIES

    def refusals(self, info):
        return ["grumpy: no forces"] if "forces" not in info.outputs else []


@caught_by("facts", r"must be those of equipot, not \['charge'\]")
class Misspelling(Sound):
    """States an input that models do not have."""

    optional_inputs = ("charge",)


@caught_by("inputs", "a model with total_charge must be served")
class Contradicting(Sound):
    """Refuses models with charges, which it states that it gives."""

    def refusals(self, info):
        return [f"contradicting: no {key}" for key in info.inputs if key == "total_charge"]


@caught_by("units_and_species", "refusals must be a list of texts")
class Wordless(Sound):
    """Refuses types that are no elements without a word."""

    def refusals(self, info):
        return [] if info.atomic_numbers else [""]


@caught_by("units_and_species", "TypeError: 'NoneType' object is not iterable")
class ElementsOnly(Sound):
    """Fails for types that are no elements."""

    def refusals(self, info):
        return [f"no element {number}" for number in info.atomic_numbers if number > 103]


@caught_by("adapted_model", "strict model, atomic_energy")
class Rescaling(Sound):
    """Adds a constant to the energies."""

    def adapted(self, model):
        return model.replace(scale_shift=ScaleShift(list(model.info.type_names), shifts=1.0))


class Wrapped(Derivatives):
    """The outputs of another module, changed by a function of the batch."""

    def __init__(self, inner, change):
        super().__init__()
        self.inner, self.change, self.provides = inner, change, inner.provides

    def forward(self, data, gradients):
        outputs = self.inner(data, gradients)
        return {**outputs, **self.change(data, outputs)}


@caught_by("adapted_model", "the given model must not be changed")
class Meddling(Sound):
    """Puts its module into the given model."""

    def adapted(self, model):
        model.derivatives = Wrapped(model.derivatives, lambda data, outputs: {})
        return model


@caught_by("metadata", "must not depend on anything but the model")
class Dated(Sound):
    """Writes the time into the file."""

    def metadata(self, info):
        return {"dated_made": str(time.perf_counter_ns())}


@caught_by("metadata", "its metadata must be texts by name")
class Counting(Sound):
    """Writes a number instead of a text."""

    def metadata(self, info):
        return {"counting_types": len(info.type_names)}


@caught_by("outputs", "float32: ")
class Rough(Sound):
    """Rounds the energies of float32 models to 8 bits."""

    def adapted(self, model):
        if model.info.model_dtype == "float64":
            return model
        rounded = model.scale_shift.values("scales")
        scales = {name: float(torch.tensor(value * 1.001).bfloat16()) * 1.01 for name, value in rounded.items()}
        return model.replace(scale_shift=ScaleShift(list(scales), scales=scales))


@caught_by("ghost_splits", "on 2 processes: forces")
class Forgetful(Sound):
    """Does not send forces of ghosts back to their owners."""

    def adapted(self, model):
        def change(data, outputs):
            return {"forces": outputs["forces"] * data["owned"].unsqueeze(1)} if "owned" in data else {}

        return model.replace(derivatives=Wrapped(model.derivatives, change))


@caught_by("empty_process", "ghosts only: virial must be 0")
class Averaging(Sound):
    """Divides by the number of owned atoms."""

    def adapted(self, model):
        def change(data, outputs):
            count = data["owned"].sum() if "owned" in data else torch.tensor(1)
            return {"virial": outputs["virial"] / count * count}

        return model.replace(derivatives=Wrapped(model.derivatives, change))


def target_of(component):
    """The kit for a target."""
    return type(component.__name__, (ExportTargetConformance,), {"target": component})


TOYS = toys_of("export target", __name__, target_of)
