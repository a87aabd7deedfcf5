"""Models whose forces or stress are spoiled."""

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
        return {**output, **self.change(output)}


def kit_of(change):
    class Kit(ModelBuilderConformance):
        target = ToyModel

        def model(self, **changes):
            model = super().model(**changes)
            if model.derivatives is None:
                return model
            return model.replace(derivatives=Spoiled(model.derivatives, change))

    return Kit


ROWS = [
    ("forces doubled", lambda out: {"forces": 2 * out["forces"]}, "forces", "bulk: forces must be -dE/dR"),
    ("forces halved", lambda out: {"forces": out["forces"] / 2}, "forces", "bulk: forces must be -dE/dR"),
    ("forces reversed", lambda out: {"forces": -out["forces"]}, "forces", "bulk: forces must be -dE/dR"),
    ("stress reversed", lambda out: {"stress": -out["stress"]}, "stress", "bulk: stress must be"),
    ("virial reversed", lambda out: {"virial": -out["virial"]}, "stress", "bulk: virial must be"),
    ("stress of molecules", lambda out: {"stress_mask": out["stress_mask"] | True}, "stress", "molecule: stress_mask"),
    ("only bulk has stress", lambda out: {"stress_mask": out["stress_mask"] & False}, "stress", "bulk: stress_mask"),
    ("stress not a tensor", lambda out: {"stress": out["stress"].diagonal(dim1=1, dim2=2).diag_embed()},
     "rotation_and_inversion", "stress must turn along"),
]  # fmt: skip

TOYS = [
    Toy(f"derivatives: {name}", name[0].upper() + name[1:], kit_of(change), check, words)
    for name, change, check, words in ROWS
]
