import dataclasses
import subprocess
import sys

import pytest

from equipot import __version__
from equipot.errors import DataError
from equipot.fields import FIELDS, LABELS, MODEL_INPUTS, mask_key
from equipot.graph import edge_set_key, per_what
from equipot.plugins import PluginHost, plugins, use_file


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


@pytest.mark.slow
def test_importing_core_loads_no_plugin():
    """No module copies the table while it is imported."""
    modules = "equipot.quantities, equipot.data._base, equipot.evaluate, equipot.train._module, equipot.ase"
    code = f"import {modules}; from equipot.plugins import plugins; print(plugins.cache_info().currsize)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.split() == ["0"]


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


# ------------------------------------------------------------------------ declarations of plugins

HEADER = "from equipot import hookimpl\nfrom equipot.declarations import *\n"


def record_of(host, plugin_id):
    (record,) = [record for record in host.records if record.id == plugin_id]
    return record


def field(**changes):
    """Source of a plugin module that declares a torque, or a field with other facts."""
    facts = {"key": "torque", "per": "frame", "shape": ("n_frames", 3), "unit": "e Å", "irreps": "1o", "label": True}
    facts = {**facts, "meaning": "torque", "ase_property": "torque", **changes}
    return f"{HEADER}@hookimpl\ndef equipot_fields():\n    yield FieldEntry(**{facts!r})\n"


def test_fields_of_plugins_join_those_of_core(install):
    install("poles", "poles", field())
    host = PluginHost()
    assert record_of(host, "poles").declares == {"fields": ["torque"]}
    declared = host.lookup("fields", "torque")
    assert (declared.distribution, declared.entry.target, declared.role) == ("poles", "", "data field 'torque'")
    assert declared.entry.summary == declared.entry.meaning == "torque"
    assert next(iter(host.fields)) == "positions"
    assert set(host.labels) == {*PluginHost("-poles").labels, "torque"}
    assert "torque" not in PluginHost("-poles").fields


def test_the_same_field_may_be_declared_twice(install):
    install("poles", "poles", field())
    install("poles-too", "more", field(meaning="electric torque"))
    install("energies", "energies", field(**declared_by_core("total_energy")))
    host = PluginHost()
    assert [record_of(host, one).state for one in ("poles", "more", "energies")] == ["ok", "ok", "ok"]
    assert host.lookup("fields", "torque").distribution == "poles"
    assert host.fields["torque"].meaning == "torque"
    assert host.ambiguous() == {}


def declared_by_core(key):
    entry = PluginHost("none").fields[key]
    return {one.name: getattr(entry, one.name) for one in dataclasses.fields(entry) if one.init}


@pytest.mark.parametrize(
    ("changes", "other", "difference"),
    [
        ({"unit": "Debye"}, "plugin 'poles' (poles 1.2.3)", "unit 'Debye', there 'e Å'"),
        ({"key": "forces"}, f"plugin 'core' (equipot {__version__})", "per 'frame', there 'atom'"),
    ],
)
def test_a_field_declared_otherwise_is_refused_with_both_distributions_named(install, changes, other, difference):
    install("poles", "poles", field())
    install("wrong-poles", "wrong", field(**changes))
    host = PluginHost()
    record = record_of(host, "wrong")
    assert record.state == "failed"
    assert f"declares the data field '{changes.get('key', 'torque')}' otherwise than {other}: " in record.error
    assert difference in record.error
    assert "'wrong' (wrong-poles 1.2.3)" in record.label
    assert host.fields["torque"].unit == "e Å"


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"key": "my torque"}, "FieldEntry 'my torque'.key: not a Python identifier"),
        ({"per": "graph"}, "FieldEntry 'torque'.per: must be 'frame', 'atom' or 'edge'"),
        ({"per": "atom"}, "with n_frames, n_atoms or n_edges in the shape, got 'atom' and ('n_frames', 3)"),
        ({"irreps": "vector"}, "FieldEntry 'torque'.irreps: must be irreps of e3nn such as '1o', got 'vector'"),
        ({"unit": "meV"}, "FieldEntry 'torque'.unit: must have energies in eV (of any unit system), got"),
        ({"ase_property": "di-pole"}, "FieldEntry 'torque'.ase_property: not a Python identifier, got 'di-pole'"),
        ({"dtype": "int64"}, "FieldEntry 'torque'.label: a label is float64"),
        ({"shape": (3, "n_frames")}, "FieldEntry 'torque'.label: a label is float64, per frame or atom, with numbers"),
        ({"shape": ("n_frames", "dim")}, "FieldEntry 'torque'.label: a label is float64, per frame or atom"),
        ({"key": "torque_mask"}, "FieldEntry 'torque_mask'.key: masks and weights of labels end like this"),
        ({"per": "atom", "shape": ("n_atoms",), "extensive": True}, "FieldEntry 'torque'.extensive: only a field per"),
    ],
)  # fmt: skip
def test_a_contradictory_field_is_refused(install, changes, error):
    install("poles", "poles", field(**changes))
    assert error in record_of(PluginHost(), "poles").error
