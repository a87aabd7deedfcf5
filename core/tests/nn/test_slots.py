import copy

import torch

from equipot.nn.edges import Edges
from equipot.nn.radial import RadialEmbedding
from equipot.nn.radial_function import RadialNetwork
from equipot.nn.slots import KernelSlot, replace_slots


class Doubling(KernelSlot):
    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(1))

    def forward(self, x):
        return 2.0 * self.weight * x


class Tripling(torch.nn.Module):
    def __init__(self, weight):
        super().__init__()
        self.weight = weight

    def forward(self, x):
        return 3.0 * self.weight * x


def triple(slot):
    return Tripling(slot.weight) if isinstance(slot, Doubling) else None


def model():
    shared = Doubling()
    return torch.nn.Sequential(shared, torch.nn.ModuleDict({"a": shared}), torch.nn.Linear(1, 1)), shared


def test_replacement_shares_tensors_and_keys_and_leaves_the_argument():
    sequence, shared = model()
    new = replace_slots(sequence, triple)
    assert isinstance(new[0], Tripling)
    assert new[1]["a"] is new[0]  # one replacement for a slot that is there twice
    assert new[2] is sequence[2]
    assert sequence[0] is shared
    assert [key for key, _ in new.state_dict().items()] == list(sequence.state_dict())
    assert all(a is b for a, b in zip(new.parameters(), sequence.parameters(), strict=True))


def test_nothing_to_replace_gives_the_argument():
    sequence, _ = model()
    assert replace_slots(sequence, lambda slot: None) is sequence
    assert isinstance(replace_slots(Doubling(), triple), Tripling)


def networks():
    generator = torch.Generator().manual_seed(0)
    dtype = torch.float64
    embedding = RadialEmbedding(3, trainable=True, polynomial_cutoff_p=6.0, dtype=dtype)
    layers = [RadialNetwork(embedding, (3, 4, 2), dtype=dtype, generator=generator) for _ in range(2)]
    return torch.nn.ModuleDict({"embedding": embedding, "layers": torch.nn.ModuleList(layers)})


def test_networks_share_an_embedding_that_is_evaluated_once_a_call():
    parts = networks()
    assert next(iter(parts.state_dict())) == "embedding.bessel.roots"
    assert not [key for key in parts.layers.state_dict() if "embedding" in key]
    calls = []
    parts.embedding.register_forward_hook(lambda *_: calls.append(1))
    x = torch.tensor([0.2, 0.9, 1.0, 1.3], dtype=torch.float64)
    edges = Edges(torch.zeros(2, 4, dtype=torch.int64), x, torch.ones(4, 1))
    values = [layer(edges) for layer in parts.layers]
    assert len(calls) == 1
    assert values[0].shape == (4, 2)
    assert bool((values[0][2:] == 0.0).all())
    torch.testing.assert_close(values[1], parts.layers[1].evaluate(x), rtol=0, atol=0)


def test_copies_use_their_own_embedding():
    parts = networks()
    copied = copy.deepcopy(parts)
    with torch.no_grad():
        copied.embedding.bessel.roots += 0.1
    x = torch.tensor([0.3], dtype=torch.float64)
    assert not torch.equal(copied.layers[0].evaluate(x), parts.layers[0].evaluate(x))


class Adopting(KernelSlot):
    def __init__(self, module):
        super().__init__()
        self.adopt(module)


def test_adopted_tensors_are_shared_for_good():
    source = torch.nn.BatchNorm1d(2)
    slot = Adopting(source)
    assert list(slot.state_dict()) == list(source.state_dict())
    slot.to(torch.float64)  # replaces buffers
    assert source.running_mean is slot.running_mean
    assert source.running_mean.dtype == torch.float64
    copied = copy.deepcopy(slot)
    assert copied.weight is not slot.weight
    assert slot.exact() is None


def test_values_for_tables_are_float64_for_any_weights():
    generator = torch.Generator().manual_seed(0)
    embedding = RadialEmbedding(3, trainable=False, polynomial_cutoff_p=6.0, dtype=torch.float32)
    network = RadialNetwork(embedding, (3, 4, 2), dtype=torch.float32, generator=generator)
    x = torch.tensor([0.2, 0.9, 1.0], dtype=torch.float64)
    values = network.evaluate(x)
    assert values.dtype == torch.float64
    assert network.value_dtype() == torch.float32
    assert bool((values[-1] == 0.0).all())
    torch.testing.assert_close(network(Edges(torch.zeros(2, 3), x, torch.ones(3, 1))), values.float())
    twin_embedding = RadialEmbedding(3, trainable=False, polynomial_cutoff_p=6.0, dtype=torch.float64)
    twin = RadialNetwork(twin_embedding, (3, 4, 2), dtype=torch.float64, generator=generator)
    twin.load_state_dict(network.state_dict())
    torch.testing.assert_close(values, twin(Edges(torch.zeros(2, 3), x, torch.ones(3, 1))), rtol=0, atol=0)


def test_sources_are_all_that_values_depend_on():
    parts = networks()
    expected = [*parts.layers[1].weights, parts.embedding.bessel.roots]
    assert {id(tensor) for tensor in parts.layers[1].sources()} == {id(tensor) for tensor in expected}
