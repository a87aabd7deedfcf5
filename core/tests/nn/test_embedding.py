import pytest
import torch

from equipot.nn.embedding import TypeEmbedding, element_similarity
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


NUMBERS = list(range(1, 119))


def test_the_similarity_of_elements_is_a_correlation():
    similarity = element_similarity(NUMBERS)
    assert torch.equal(similarity, similarity.T)
    torch.testing.assert_close(similarity.diagonal(), torch.ones(118, dtype=torch.float64))
    assert torch.linalg.eigvalsh(similarity)[0] > 0.04
    assert similarity.min() >= 0.0


@pytest.mark.parametrize(
    ("element", "near", "far"),
    [
        (11, 19, 12),  # Na: K, not Mg
        (17, 35, 20),  # Cl: Br, not Ca
        (26, 27, 8),  # Fe: Co, not O
        (58, 59, 72),  # Ce: Pr, not Hf
        (57, 39, 70),  # La: Y, not Yb
        (72, 40, 14),  # Hf: Zr, not Si
        (92, 60, 82),  # U: Nd, not Pb
        (1, 3, 2),  # H: Li, not He
        (31, 13, 20),  # Ga: Al, not Ca
    ],
)
def test_elements_are_more_similar_within_a_group_and_to_their_neighbours(element, near, far):
    similarity = element_similarity([element, near, far])
    assert similarity[0, 1] > similarity[0, 2]


def test_similar_elements_begin_with_similar_vectors():
    generator = torch.Generator().manual_seed(1)
    weight = TypeEmbedding(118, 4000, dtype=torch.float64, generator=generator, atomic_numbers=NUMBERS).weight.detach()
    torch.testing.assert_close(weight @ weight.T / 4000.0, element_similarity(NUMBERS), atol=0.12, rtol=0.0)


def test_types_of_the_same_element_differ_a_little():
    generator = torch.Generator().manual_seed(1)
    weight = TypeEmbedding(2, 4000, dtype=torch.float32, generator=generator, atomic_numbers=[6, 6]).weight.detach()
    assert (weight[0] @ weight[1] / 4000.0).item() == pytest.approx(0.95, abs=0.05)


def test_no_types_have_no_similarity():
    assert element_similarity([]).shape == (0, 0)


def test_the_exchange_does_nothing_by_itself():
    features = torch.randn(2, 3)
    assert GhostExchange()(features) is features
