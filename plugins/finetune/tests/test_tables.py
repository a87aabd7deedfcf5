import pytest
import torch

from equipot_finetune._tables import Types, extended_config, extended_tensor

TYPES = Types(["H", "O"], ["H", "O", "S", "Si"], {"S": "O"})


def test_rows_of_types():
    old = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    assert extended_tensor(old, (4, 2), TYPES).tolist() == [[1.0, 2.0], [3.0, 4.0], [3.0, 4.0], [2.0, 3.0]]
    assert extended_tensor(old.T, (2, 4), TYPES).tolist() == [[1.0, 3.0, 3.0, 2.0], [2.0, 4.0, 4.0, 3.0]]
    assert extended_tensor(old, (2, 2), TYPES).tolist() == old.tolist()


def test_rows_of_pairs_of_types():
    """Pair (a, b) is row a * n_types + b."""
    old = torch.arange(4.0)  # HH, HO, OH, OO
    made = extended_tensor(old, (16,), TYPES).view(4, 4)
    assert made[:2, :2].tolist() == [[0.0, 1.0], [2.0, 3.0]]
    assert made[2].tolist() == [2.0, 3.0, 3.0, 2.5]  # S like O
    assert made[:, 2].tolist() == [1.0, 3.0, 3.0, 2.0]
    assert made[3].tolist() == [1.0, 2.0, 2.0, 1.5]  # Si like the mean


def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="has 3 entries along axis 0, with 4 in place of 2 types 10, which is neither"):
        extended_tensor(torch.zeros(3), (10,), TYPES)  # unordered pairs
    with pytest.raises(ValueError, match=r"has the shape \(2,\), with more types \(2, 4\)"):
        extended_tensor(torch.zeros(2), (2, 4), TYPES)
    with pytest.raises(ValueError, match=r"its torch.int64 have no mean for the new type 'Si'"):
        extended_tensor(torch.tensor([1, 2]), (4,), TYPES)


def test_recipes():
    config = {
        "avg_num_neighbors": {"H": 2.0, "O": 4.0},
        "partial": {"H": 1.0},
        "energy_terms": {"zbl": {"units": "metal", "chemical_species": ["H", "O"]}},
        "list": ["H", "O"],
    }
    made = extended_config(config, TYPES, ["H", "O"], ["H", "O", "S", "Si"])
    assert made["avg_num_neighbors"] == {"H": 2.0, "O": 4.0, "S": 4.0, "Si": 3.0}
    assert made["partial"] == {"H": 1.0}
    assert made["energy_terms"]["zbl"]["chemical_species"] == ["H", "O", "S", "Si"]
    assert made["list"] == ["H", "O"]
    assert config["avg_num_neighbors"] == {"H": 2.0, "O": 4.0}


def test_cutoffs():
    found = TYPES.cutoffs([[1.0, 2.0], [3.0, 4.0]], 5.0)
    assert found[2] == (3.0, 4.0, 4.0, 5.0)
    assert [row[2] for row in found] == [2.0, 4.0, 4.0, 5.0]
