import pytest

from equipot.artifacts import _golden as golden
from equipot.errors import DataError
from equipot.model._inputs import check_batch, field_of


def test_a_key_of_an_edge_set_has_the_field_of_the_plain_key():
    assert field_of("edge_index") is field_of("edge_index:far")


def test_indices_and_shapes_are_checked(make_model):
    info = make_model().info
    batch = golden.random_frames(info)["molecule"]
    check_batch(batch, info, "here")
    for key, value, message in (
        ("atom_types", batch["atom_types"][0], "here: needs at least one atom and one frame"),
        ("positions", batch["positions"][:, :2], r"positions: must have the shape \[n_atoms, 3\]"),
        ("edge_index", batch["edge_index"] + 1, "edge_index: must be from 0 to 5"),
        ("edge_index", batch["edge_index"].flip(1), "edge_index: must be sorted by centre"),
    ):
        with pytest.raises(DataError, match=message):
            check_batch({**batch, key: value}, info, "here")
