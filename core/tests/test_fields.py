import subprocess
import sys

import pytest

from equipot.errors import DataError
from equipot.fields import FIELDS, LABELS, MODEL_INPUTS, mask_key
from equipot.graph import edge_set_key, per_what
from equipot.plugins import plugins, use_file


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


TORQUE = """
from equipot import hookimpl
from equipot.declarations import FieldEntry
from equipot.fields import FIELDS

KNOWN = len(FIELDS)

@hookimpl
def equipot_fields():
    yield FieldEntry(
        key="torque", per="frame", shape=("n_frames", 3), unit="eV", irreps="1e", meaning="torque", label=True
    )
"""


@pytest.fixture
def torque_file(tmp_path, monkeypatch):
    path = tmp_path / "torque_of_a_file.py"
    path.write_text(TORQUE, encoding="utf-8")
    monkeypatch.setattr("equipot._host.host._files", [])
    yield path
    sys.modules.pop("torque_of_a_file", None)
    plugins.cache_clear()


def test_the_table_is_live(torque_file):
    assert "torque" not in FIELDS
    use_file(str(torque_file))
    assert FIELDS["torque"].unit == "eV"
    assert per_what("torque") == "frame"
    assert per_what("torque_mask") == "frame"
    assert list(LABELS)[-1] == "torque"
    assert set(FIELDS) >= {*LABELS, "positions"}
    # A file that reads the table while it is loaded sees what is known so far.
    assert len(FIELDS) - 1 == sys.modules["torque_of_a_file"].KNOWN


def test_the_table_needs_no_torch():
    code = "import sys; from equipot.fields import FIELDS; print(len(FIELDS) > 20, 'torch' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.split() == ["True", "False"]


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
