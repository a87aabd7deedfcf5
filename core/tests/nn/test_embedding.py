import torch

from equipot.nn.embedding import TypeEmbedding
from equipot.nn.exchange import GhostExchange


def test_rows_of_the_table():
    embedding = TypeEmbedding(3, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    types = torch.tensor([2, 0, 2])
    assert torch.equal(embedding(types), embedding.weight[types])
    assert embedding(types[:0]).shape == (0, 5)


def test_initial_values_are_standard_normal():
    weight = TypeEmbedding(100, 200, dtype=torch.float32, generator=torch.Generator().manual_seed(1)).weight
    assert abs(weight.mean().item()) < 0.03
    assert abs(weight.std().item() - 1.0) < 0.03


def test_the_exchange_does_nothing_by_itself():
    features = torch.randn(2, 3)
    assert GhostExchange()(features) is features
