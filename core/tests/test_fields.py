import pytest

from equipot.errors import DataError
from equipot.fields import FIELDS, LABELS, MODEL_INPUTS, mask_key
from equipot.graph import edge_set_key, per_what


def test_every_field_says_what_it_is():
    for key, field in FIELDS.items():
        assert key == field.key
        assert field.meaning
        assert field.dtype in {"float64", "model_dtype", "int64", "bool"}
        assert f"n_{field.per}s" in field.shape


def test_physical_fields_have_units_and_irreps():
    for key in ("positions", "forces", "edge_vectors"):
        assert FIELDS[key].irreps == "1o"
    assert FIELDS["stress"].unit == "eV/Å³"
    assert FIELDS["forces"].unit == "eV/Å"


def test_labels_and_inputs_are_fields():
    assert set(LABELS) <= set(FIELDS)
    assert set(MODEL_INPUTS) <= set(FIELDS)
    assert not set(LABELS) & set(MODEL_INPUTS)


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("positions", "atom"), ("cell", "frame"), ("edge_index", "edge"), ("edge_index:far", "edge"),
        ("edge_cell_shift:far", "edge"), ("forces_mask", "atom"), ("total_energy_mask", "frame"),
        ("stress_mask", "frame"),
    ],
)  # fmt: skip
def test_per_what(key, expected):
    assert per_what(key) == expected


@pytest.mark.parametrize("key", ["pos", "cell_mask", "forces_mask_mask"])
def test_unknown_fields_are_refused(key):
    with pytest.raises(DataError, match=f"{key}: unknown data field; fields are listed in equipot.fields"):
        per_what(key)


def test_keys():
    assert mask_key("stress") == "stress_mask"
    assert edge_set_key("edge_index", "") == "edge_index"
    assert edge_set_key("edge_index", "far") == "edge_index:far"
