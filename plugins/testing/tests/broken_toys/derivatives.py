"""Models whose forces or stress are spoiled."""

import torch

from broken_toys.toy import Toy
from equipot.model import Derivatives
from equipot_testing.conformance import ModelBuilderConformance
from equipot_testing.toy import ToyModel


class Spoiled(Derivatives):
    """Another module's outputs with some of them changed."""

    provides = ("forces", "stress", "virial")

    def __init__(self, inner, change):
        super().__init__()
        self.inner, self.change = inner, change

    def forward(self, data, gradients):
        output = self.inner(data, gradients)
        return {**output, **self.change(output, data)}


def kit_of(change):
    class Kit(ModelBuilderConformance):
        target = ToyModel

        def model(self, **changes):
            model = super().model(**changes)
            if model.derivatives is None:
                return model
            return model.replace(derivatives=Spoiled(model.derivatives, change))

    return Kit


def volumes(out, data, volume_of):
    """The stress over other volumes: ``volume_of`` makes them of the right ones of the periodic frames."""
    volume = torch.linalg.det(data["cell"]).abs()
    periodic = volume > 0
    factor = torch.ones_like(volume)
    if periodic.any():
        factor[periodic] = volume[periodic] / volume_of(volume[periodic])
    return {"stress": out["stress"] * factor[:, None, None]}


ROWS = [
    ("forces doubled", lambda out, _: {"forces": 2 * out["forces"]}, "forces", "bulk: forces must be -dE/dR"),
    ("forces halved", lambda out, _: {"forces": out["forces"] / 2}, "forces", "bulk: forces must be -dE/dR"),
    ("forces reversed", lambda out, _: {"forces": -out["forces"]}, "forces", "bulk: forces must be -dE/dR"),
    ("stress reversed", lambda out, _: {"stress": -out["stress"]}, "stress", "bulk: stress must be"),
    ("virial reversed", lambda out, _: {"virial": -out["virial"]}, "stress", "bulk: virial must be"),
    ("stress of molecules", lambda out, _: {"stress_mask": out["stress_mask"] | True},
     "stress", "molecule: stress_mask"),
    ("only bulk has stress", lambda out, _: {"stress_mask": out["stress_mask"] & False}, "stress", "bulk: stress_mask"),
    ("stress not a tensor", lambda out, _: {"stress": out["stress"].diagonal(dim1=1, dim2=2).diag_embed()},
     "rotation_and_inversion", "stress must turn along"),
    ("volume of the first cell for all", lambda out, data: volumes(out, data, lambda volume: volume[0]),
     "cells_of_different_volume", "a cell of 117 Å³ among cells of other volumes: stress must be"),
    ("mean volume of the batch for all", lambda out, data: volumes(out, data, lambda volume: volume.mean()),
     "cells_of_different_volume", "a cell of 23 Å³ among cells of other volumes: stress must be"),
]  # fmt: skip

TOYS = [
    Toy(f"derivatives: {name}", name[0].upper() + name[1:], kit_of(change), check, words)
    for name, change, check, words in ROWS
]
