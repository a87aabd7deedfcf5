"""Broken output heads, and two healthy ones."""

import torch

from broken_toys.toy import caught_by, toys_of
from equipot.declarations import FieldEntry, ModifierEntry
from equipot.model import OutputHead
from equipot.nn.cutoff import polynomial_cutoff
from equipot.plugins import plugins
from equipot_testing.conformance import OutputHeadConformance

FIELDS = (
    FieldEntry(key="toy_charges", per="atom", shape=("n_atoms",), unit="e", irreps="0e", meaning="charges"),
    FieldEntry(
        key="toy_dipole", per="frame", shape=("n_frames", 3), unit="e Å", irreps="1o", meaning="dipole", extensive=True
    ),
    FieldEntry(key="toy_spread", per="frame", shape=("n_frames",), unit="e", irreps="0e", meaning="largest charge"),
    FieldEntry(key="toy_shape", per="atom", shape=("n_atoms", 5), unit="", irreps="2e", meaning="of a density"),
)
"""Fields of the toys."""


class Kit(OutputHeadConformance):
    """Declares the fields of the toys while it works."""

    def recipe(self, **changes):
        plugins().fields.update({field.key: field for field in FIELDS})
        return super().recipe(**changes)


class Charges(OutputHead):
    """Charges and atomic dipole moments from scalar and vector features, as it should be."""

    requires = ("node_features",)
    provides = ("toy_charges", "toy_dipole")
    sums = ("toy_dipole",)

    def __init__(self, dtype):
        super().__init__()
        self.weights = torch.nn.Parameter(torch.tensor([0.7, -0.3], dtype=dtype))

    def charges(self, data):
        return torch.tanh(self.weights[0] * data["node_features"][:, 0])

    def vectors(self, data):
        return self.weights[1] * data["node_features"][:, 1:]

    def forward(self, data):
        return {"toy_charges": self.charges(data), "toy_dipole": self.vectors(data)}


class Shapes(Charges):
    """A tensor of rank two in e3nn's order and a number of whole frames, for molecules only, as it should be."""

    requires = ("node_features", "batch", "num_atoms")
    provides = ("toy_shape", "toy_spread")
    sums = ()
    boundary = ("molecule",)

    def forward(self, data):
        x, y, z = self.vectors(data).unbind(1)
        root = 3**0.5
        parts = (root * x * z, root * x * y, y * y - (x * x + z * z) / 2, root * y * z, root / 2 * (z * z - x * x))
        zeros = torch.zeros_like(data["num_atoms"], dtype=x.dtype)
        return {
            "toy_shape": torch.stack(parts, dim=1),
            "toy_spread": zeros.index_add(0, data["batch"], self.charges(data).square()),
        }


class Ions(Charges):
    """Charges that add up to that of the frame, as it should be."""

    requires = ("node_features", "batch", "num_atoms", "total_charge")
    locality = "global"

    def wanted(self, data):
        return data["total_charge"]

    def charges(self, data):
        charges = super().charges(data).double()
        total = torch.zeros_like(data["num_atoms"], dtype=charges.dtype).index_add(0, data["batch"], charges)
        return charges + ((self.wanted(data) - total) / data["num_atoms"])[data["batch"]]


@caught_by("ions", "ions in a batch")
class FirstCharge(Ions):
    """Takes the charge of the first frame for all of a batch."""

    def wanted(self, data):
        return data["total_charge"][:1]


@caught_by("ions", "must add up to the charge of the frame")
class OnlyNeutral(Ions):
    """Makes ions neutral, too."""

    def wanted(self, data):
        return 0.0 * data["total_charge"]


@caught_by("runs", "the modifier must add a head")
class Nothing(Charges):
    """A modifier that adds nothing."""


@caught_by("runs", "it must provide what it declares")
class Undeclared(Charges):
    """Predicts more than the modifier's declaration says."""


@caught_by("batch_equals_singles", "batch equals singles")
class Centred(Charges):
    """Takes off the mean charge of the batch."""

    def charges(self, data):
        return super().charges(data) - super().charges(data).mean()


@caught_by("permutation", "permutation of atoms")
class FirstAtom(Charges):
    """Refers charges to the first atom of the frame."""

    requires = ("node_features", "batch", "num_atoms")

    def charges(self, data):
        first = (data["num_atoms"].cumsum(0) - data["num_atoms"])[data["batch"]]
        return super().charges(data) - super().charges(data)[first]


@caught_by("rotation_and_inversion", "toy_dipole must turn as 1o")
class Pseudovector(Charges):
    """Gives a vector that the inversion leaves as it is."""

    def vectors(self, data):
        vectors = super().vectors(data)
        return torch.linalg.cross(vectors, vectors.roll(1, 1)) + vectors.square().sum(1, keepdim=True)


@caught_by("rotation_and_inversion", "toy_shape must turn as 2e")
class OtherOrder(Shapes):
    """Has the components of a tensor in another order than e3nn."""

    def forward(self, data):
        found = super().forward(data)
        return {**found, "toy_shape": found["toy_shape"].flip(1)}


@caught_by("translation", "toy_dipole must not change")
class FromOrigin(Charges):
    """Multiplies charges that are not neutral with positions."""

    requires = ("node_features", "positions")
    boundary = ("molecule",)

    def vectors(self, data):
        return self.charges(data).unsqueeze(1) * data["positions"]


@caught_by("image_wrapping", "toy_dipole must not change")
class Wrapped(Charges):
    """Multiplies neutral charges with positions, in crystals too."""

    requires = ("node_features", "positions", "batch", "num_atoms")
    locality = "global"

    def vectors(self, data):
        charges = self.charges(data)
        total = torch.zeros_like(data["num_atoms"], dtype=charges.dtype).index_add(0, data["batch"], charges)
        neutral = charges - (total / data["num_atoms"])[data["batch"]]
        return neutral.unsqueeze(1) * data["positions"]


@caught_by("extensivity", "toy_dipole must be twice")
class Mean(Charges):
    """Gives the mean over atoms of what it declares as extensive."""

    requires = ("node_features", "batch", "num_atoms")

    def vectors(self, data):
        return super().vectors(data) / data["num_atoms"][data["batch"]].unsqueeze(1)


@caught_by("smooth_at_cutoff", "toy_charges must be continuous")
class Counts(Charges):
    """Counts neighbours."""

    requires = ("node_features", "edge_index")

    def charges(self, data):
        counts, centre = torch.zeros_like(data["node_features"][:, 0]), data["edge_index"][0]
        return super().charges(data) + counts.index_add(0, centre, counts.new_ones(centre.shape[0]))


@caught_by("symmetric_sites", "must be finite")
class Norm(Charges):
    """Takes the norm of a vector that may be zero."""

    def charges(self, data):
        return super().charges(data) * self.vectors(data).square().sum(1).sqrt()


@caught_by("gradients", "gradient of a loss on the predictions")
class Detached(Charges):
    """Detaches its weights for one of the fields."""

    def vectors(self, data):
        return self.weights.detach()[1] * data["node_features"][:, 1:]


@caught_by("ghosts", "toy_charges of owned atoms")
class Messages(Charges):
    """States that it is strict, but reads features of neighbours."""

    requires = ("node_features", "normalized_edge_lengths", "edge_index")

    def charges(self, data):
        (centre, neighbour), own = data["edge_index"], super().charges(data)
        cutoff = polynomial_cutoff(data["normalized_edge_lengths"], 6.0).to(own.dtype)
        return own.index_add(0, centre, cutoff * own[neighbour])


@caught_by("repeatable", "the same call again")
class Dropout(Charges):
    """Draws random numbers in eval mode too."""

    def charges(self, data):
        charges = super().charges(data)
        return charges * (1 + 1e-6 * torch.rand((), dtype=charges.dtype))


def modifier_of(head):
    def add(model):
        if head is Nothing:
            return model.replace()
        return model if "toy" in model.outputs else model.replace(outputs={"toy": head(_dtype(model))})

    add.__doc__ = "Add the head.\n\nArgs:\n    model: Any model."
    add.__name__ = f"add_{head.__name__}"
    return add


def _dtype(model):
    return getattr(torch, model.info.model_dtype)


def kit_of(head):
    attributes = {"target": staticmethod(modifier_of(head))}
    if head is Undeclared:
        facts = {"name": "add_toy", "target": "undeclared.function", "summary": "", "persistent": True}
        attributes["entry"] = lambda _: ModifierEntry(**facts, provides=("toy_dipole",))
    return type(f"Kit{head.__name__}", (Kit,), attributes)


TOYS = toys_of("output head", __name__, kit_of)
