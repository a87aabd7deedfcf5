"""Broken model builders."""

import dataclasses

import torch

from broken_toys.toy import caught_by, toys_of
from equipot.model import EnergyModule, pair_index
from equipot.nn.cutoff import polynomial_cutoff
from equipot_testing.conformance import ModelBuilderConformance
from equipot_testing.toy import ToyEnergy, ToyFeaturesEnergy, ToyModel


@caught_by("runs", "reads the field 'positions', which its 'requires' does not name")
class UndeclaredPositions(ToyEnergy):
    """Computes distances from positions that it does not declare."""

    def forward(self, data):
        centre, neighbour = data["edge_index"]
        vectors = data["positions"][neighbour] - data["positions"][centre]
        return super().forward({**data, "edge_vectors": vectors})


@caught_by("runs", "fails with RuntimeError")
class WrongShape(ToyEnergy):
    """Gives its energies as a column."""

    def forward(self, data):
        return {"atomic_energy": super().forward(data)["atomic_energy"][:, None]}


@caught_by("inputs_not_changed", r"the batch must not be changed \(atom_types\)")
class Scribbling(ToyEnergy):
    """Sets the types to zero in the caller's batch."""

    def forward(self, data):
        output = super().forward(data)
        data["atom_types"].zero_()
        return output


@caught_by("repeatable", r"the same call again \(atomic_energy\)")
class NoisyAlways(ToyEnergy):
    """Adds noise of its own generator to every call."""

    def __init__(self, context):
        super().__init__(context)
        self.noise = torch.Generator().manual_seed(1)

    def forward(self, data):
        energy = super().forward(data)["atomic_energy"]
        return {"atomic_energy": energy * (1 + 1e-6 * torch.rand((), generator=self.noise))}


@caught_by("state_unchanged_by_calls", "a call must not change energy.calls")
class Counting(ToyEnergy):
    """Counts its calls in a buffer."""

    def __init__(self, context):
        super().__init__(context)
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, data):
        self.calls += 1
        return super().forward(data)


@caught_by("batch_equals_singles", "batch equals singles, bulk: atomic_energy: differs by")
class Leaky(ToyEnergy):
    """Takes a mean over all atoms of the batch."""

    def forward(self, data):
        energy = super().forward(data)["atomic_energy"]
        return {"atomic_energy": energy - 0.1 * energy * energy.square().mean()}


@caught_by("permutation", "atomic_energy must follow the atoms|total_energy must not change")
class KnowsTheOrder(ToyEnergy):
    """Weighs atoms by their place in the frame."""

    requires = (*ToyEnergy.requires, "batch", "num_atoms")

    def forward(self, data):
        energy = super().forward(data)["atomic_energy"]
        starts = data["num_atoms"].cumsum(0) - data["num_atoms"]
        place = torch.ones_like(data["batch"]).cumsum(0) - starts[data["batch"]]
        return {"atomic_energy": energy * (1 + 1e-3 * place.to(energy.dtype))}


@caught_by("rotation_and_inversion", "inversion: energies must not change")
class Handed(ToyEnergy):
    """Adds the volume spanned by three sums of vectors, which changes its sign in a mirror."""

    def forward(self, data):
        vectors, centre = data["edge_vectors"] * self.envelope(data)[:, None], data["edge_index"][0]
        zeros = torch.zeros(data["atom_types"].shape[0], 3, dtype=torch.float64, device=vectors.device)
        sums = [zeros.index_add(0, centre, vectors * data["edge_lengths"][:, None] ** power) for power in range(3)]
        volume = torch.linalg.cross(sums[0], sums[1], dim=1).mul(sums[2]).sum(1)
        energy = super().forward(data)["atomic_energy"]
        return {"atomic_energy": energy + volume.to(energy.dtype)}


@caught_by("rotation_and_inversion", "rotation: energies must not change")
class LongAlongX(ToyEnergy):
    """Takes x components of vectors for scalars."""

    def forward(self, data):
        energy = super().forward(data)["atomic_energy"]
        along = (data["edge_vectors"][:, 0] * self.envelope(data)).to(energy.dtype)
        return {"atomic_energy": energy + 0.1 * torch.zeros_like(energy).index_add(0, data["edge_index"][0], along)}


@caught_by("translation", "translation by 40 Å: atomic_energy must not change")
class Anchored(ToyEnergy):
    """Feels how far atoms are from the origin."""

    requires = (*ToyEnergy.requires, "positions")

    def forward(self, data):
        energy = super().forward(data)["atomic_energy"]
        return {"atomic_energy": energy * (1 + 1e-6 * data["positions"].square().sum(1)).to(energy.dtype)}


@caught_by("image_wrapping", "periodic images: atomic_energy must not change")
class IgnoresImages(ToyEnergy):
    """Weighs edges by the cell shift, as if images were other atoms."""

    requires = (*ToyEnergy.requires, "edge_cell_shift")

    def envelope(self, data):
        return super().envelope(data) * (1 + 0.01 * data["edge_cell_shift"].square().sum(1))


@caught_by("extensivity", "energy must be 2 times that of the cell")
class NotExtensive(ToyEnergy):
    """Divides by the number of atoms."""

    requires = (*ToyEnergy.requires, "batch", "num_atoms")

    def forward(self, data):
        energy = super().forward(data)["atomic_energy"]
        return {"atomic_energy": energy / data["num_atoms"][data["batch"]].to(energy.dtype)}


@caught_by("types_matter", "must depend on the type of its neighbour")
class OwnTypeTwice(ToyEnergy):
    """Takes the centre's type for the neighbour's."""

    def pairs(self, data):
        types = data["atom_types"].index_select(0, data["edge_index"][0])
        return pair_index(types, types, self.num_types)


@caught_by("smooth_at_cutoff", "energy must be continuous")
class HardCutoff(ToyEnergy):
    """Has no cutoff function."""

    def envelope(self, data):
        return torch.exp(-0.3 * data["edge_lengths"])


@caught_by("smooth_at_cutoff", "forces must be continuous")
class KinkAtCutoff(ToyEnergy):
    """Has a cutoff function that ends with a slope."""

    def envelope(self, data):
        return 1.0 - data["normalized_edge_lengths"]


@caught_by("isolated_atom", "isolated atom of type H without a cell: energy must be its shift E0")
class LiftedIsolatedAtom(ToyEnergy):
    """Adds 1e-12 eV to every atom."""

    def forward(self, data):
        return {"atomic_energy": super().forward(data)["atomic_energy"] + 1e-12}


@caught_by("locality", "an atom more than 1 cutoff radii away must not change the energy")
class FartherThanDeclared(ToyEnergy):
    """Passes a message over two steps, but says ``strict``."""

    def forward(self, data):
        energy = super().forward(data)["atomic_energy"]
        centre, neighbour = data["edge_index"]
        message = energy[neighbour] * self.envelope(data).to(energy.dtype)
        return {"atomic_energy": energy + torch.zeros_like(energy).index_add(0, centre, message) * energy}


@caught_by("asymmetric_cutoffs", "H-C at the cutoff radius 2.8 Å: energy must be continuous")
class TransposedCutoffs(ToyEnergy):
    """Takes the radius of ji where that of ij is meant."""

    def __init__(self, context):
        super().__init__(context)
        self.register_buffer("radii", context.cutoffs.T.reshape(-1), persistent=False)

    def envelope(self, data):
        scaled = data["edge_lengths"] / self.radii[self.pairs(data)]
        return torch.exp(-0.3 * data["edge_lengths"]) * polynomial_cutoff(scaled, 6.0)


@caught_by("float32", "forces differ by")
class HalfPrecision(ToyEnergy):
    """Computes lengths in 16 bits when its weights have 32."""

    def envelope(self, data):
        single = self.weights.dtype == torch.float32
        lengths = data["edge_lengths"].to(torch.bfloat16) if single else data["edge_lengths"]
        return torch.exp(-0.3 * lengths) * polynomial_cutoff(data["normalized_edge_lengths"], 6.0)


@caught_by("empty_frames", "one atom in eval mode: fails with IndexError")
class BreaksAtOneAtom(ToyEnergy):
    """Looks at the second atom of the batch."""

    def forward(self, data):
        energy = super().forward(data)["atomic_energy"]
        return {"atomic_energy": energy + 0.0 * energy[1]}


@caught_by("empty_frames", "one atom in eval mode: fails with")
class BreaksWithoutEdges(ToyEnergy):
    """Takes the longest edge, of none too."""

    def envelope(self, data):
        return super().envelope(data) + 0.0 * data["edge_lengths"].max()


@caught_by("train_equals_eval", "train mode against eval mode")
class Noisy(ToyEnergy):
    """Is another function in train mode."""

    def forward(self, data):
        energy = super().forward(data)["atomic_energy"]
        return {"atomic_energy": 1.01 * energy if self.training else energy}


@caught_by("weight_gradients", "against finite differences: differs by")
class FrozenByAccident(ToyEnergy):
    """Detaches a part of its weights."""

    def forward(self, data):
        energy = super().forward(data)["atomic_energy"]
        return {"atomic_energy": energy + self.weights.detach().square().sum() * energy}


@caught_by("strides", "strided inputs: fails with RuntimeError: view size")
class WantsContiguous(ToyEnergy):
    """Uses ``view`` on what came in."""

    def forward(self, data):
        return super().forward({**data, "edge_index": data["edge_index"].view(-1).reshape(2, -1)})


@caught_by("energy_only", "torch.autograd.grad was called")
class DifferentiatesItself(ToyEnergy):
    """Takes a gradient inside the energy module."""

    def forward(self, data):
        with torch.enable_grad():
            lengths = data["edge_lengths"].detach().requires_grad_()
            torch.autograd.grad(lengths.sum(), lengths)
        return super().forward(data)


@caught_by("seed", "must not draw from the global generator")
class GlobalGenerator(ToyEnergy):
    """Draws its weights from the global generator."""

    def __init__(self, context):
        super().__init__(context)
        self.weights = torch.nn.Parameter(torch.randn(self.weights.shape, dtype=context.model_dtype))


@caught_by("model_dtype", r"weights of other types: \['weights'\]")
class AlwaysDouble(ToyEnergy):
    """Has float64 weights, even if another type is requested."""

    def __init__(self, context):
        super().__init__(dataclasses.replace(context, model_dtype=torch.float64))


@caught_by("default_dtype", "run under another default dtype")
class DefaultDtype(ToyEnergy):
    """Makes a constant in the default dtype."""

    def forward(self, data):
        energy = super().forward(data)["atomic_energy"]
        return {"atomic_energy": energy * torch.tensor([1.0 / 3.0], device=energy.device)}


@caught_by("device", "gets tensors on cpu and meta")
class StaysOnTheCPU(ToyEnergy):
    """Makes a tensor without saying where."""

    def forward(self, data):
        energy = super().forward(data)["atomic_energy"]
        return {"atomic_energy": energy * torch.ones(len(energy), dtype=energy.dtype)}


@caught_by("global_state", "the number of threads")
class SetsThreads(ToyEnergy):
    """Sets the number of threads."""

    def __init__(self, context):
        super().__init__(context)
        torch.set_num_threads(torch.get_num_threads() + 1)


@caught_by("trace", "traced model, .*: fails with RuntimeError")
class RemembersTheExample(ToyEnergy):
    """Makes a Python number of a size, which a trace keeps."""

    def forward(self, data):
        energy = super().forward(data)["atomic_energy"]
        return {"atomic_energy": energy * torch.ones(int(energy.shape[0]), dtype=energy.dtype, device=energy.device)}


@caught_by("state_dict", r"weights saved and loaded \(atomic_energy\)")
class ForgetfulConstant(ToyEnergy):
    """Keeps a random constant that no file stores."""

    def __init__(self, context):
        super().__init__(context)
        self.register_buffer(
            "constant", torch.rand((), dtype=context.model_dtype, generator=context.generator), persistent=False
        )

    def forward(self, data):
        return {"atomic_energy": self.constant * super().forward(data)["atomic_energy"]}


@caught_by("node_features", "1x1e must turn along")
class Mislabelled(ToyFeaturesEnergy):
    """States pseudovectors where its features are vectors."""

    features = "1x0e+1x1e"


@caught_by("node_features", "energies must not change")
class AskedTwice(ToyFeaturesEnergy):
    """Gives other energies where it is asked for features."""

    def forward(self, data, *, features=False):
        found = super().forward(data, features=features)
        return {**found, "atomic_energy": found["atomic_energy"] * (1.0 + 1e-9 * features)}


def builder_of(energy):
    @dataclasses.dataclass(frozen=True, kw_only=True)
    class Broken(ToyModel):
        """A toy model with a fault."""

        node_features = "sums over neighbours" if energy.features else ""

        def build_energy(self, context) -> EnergyModule:
            return energy(context)

    return Broken


def kit_of(energy):
    return type(f"Kit{energy.__name__}", (ModelBuilderConformance,), {"target": builder_of(energy)})


TOYS = toys_of("model builder", __name__, kit_of)
