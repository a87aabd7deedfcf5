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


DIPOLE = """
from equipot import hookimpl
from equipot.declarations import FieldEntry
from equipot.fields import FIELDS

KNOWN = len(FIELDS)

@hookimpl
def equipot_fields():
    yield FieldEntry(
        key="dipole", per="frame", shape=("n_frames", 3), unit="e Å", irreps="1o", meaning="dipole moment", label=True
    )
"""


@pytest.fixture
def dipole_file(tmp_path, monkeypatch):
    path = tmp_path / "dipole_of_a_file.py"
    path.write_text(DIPOLE, encoding="utf-8")
    monkeypatch.setattr("equipot._host.host._files", [])
    yield path
    sys.modules.pop("dipole_of_a_file", None)
    plugins.cache_clear()


def test_the_table_is_live(dipole_file):
    assert "dipole" not in FIELDS
    use_file(str(dipole_file))
    assert FIELDS["dipole"].unit == "e Å"
    assert per_what("dipole") == "frame"
    assert per_what("dipole_mask") == "frame"
    assert list(LABELS)[-1] == "dipole"
    assert set(FIELDS) >= {*LABELS, "positions"}
    # A file that reads the table while it is loaded sees what is known so far.
    assert len(FIELDS) - 1 == sys.modules["dipole_of_a_file"].KNOWN


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
    """Source of a plugin module that declares a dipole, or a field with other facts."""
    facts = {"key": "dipole", "per": "frame", "shape": ("n_frames", 3), "unit": "e Å", "irreps": "1o", "label": True}
    facts = {**facts, "meaning": "dipole moment", "ase_property": "dipole", **changes}
    return f"{HEADER}@hookimpl\ndef equipot_fields():\n    yield FieldEntry(**{facts!r})\n"


def test_fields_of_plugins_join_those_of_core(install):
    install("dipoles", "dipoles", field())
    host = PluginHost()
    assert record_of(host, "dipoles").declares == {"fields": ["dipole"]}
    declared = host.lookup("fields", "dipole")
    assert (declared.distribution, declared.entry.target, declared.role) == ("dipoles", "", "data field 'dipole'")
    assert declared.entry.summary == declared.entry.meaning == "dipole moment"
    assert next(iter(host.fields)) == "positions"
    assert list(host.labels) == [*PluginHost("none").labels, "dipole"]
    assert "dipole" not in PluginHost("-dipoles").fields


def test_the_same_field_may_be_declared_twice(install):
    install("dipoles", "dipoles", field())
    install("more-dipoles", "more", field(meaning="electric dipole"))
    install("energies", "energies", field(**declared_by_core("total_energy")))
    host = PluginHost()
    assert [record_of(host, one).state for one in ("dipoles", "more", "energies")] == ["ok", "ok", "ok"]
    assert host.lookup("fields", "dipole").distribution == "dipoles"
    assert host.fields["dipole"].meaning == "dipole moment"
    assert host.ambiguous() == {}


def declared_by_core(key):
    entry = PluginHost("none").fields[key]
    return {one.name: getattr(entry, one.name) for one in dataclasses.fields(entry) if one.init}


@pytest.mark.parametrize(
    ("changes", "other", "difference"),
    [
        ({"unit": "Debye"}, "plugin 'dipoles' (dipoles 1.2.3)", "unit 'Debye', there 'e Å'"),
        ({"key": "forces"}, f"plugin 'core' (equipot {__version__})", "per 'frame', there 'atom'"),
    ],
)
def test_a_field_declared_otherwise_is_refused_with_both_distributions_named(install, changes, other, difference):
    install("dipoles", "dipoles", field())
    install("wrong-dipoles", "wrong", field(**changes))
    host = PluginHost()
    record = record_of(host, "wrong")
    assert record.state == "failed"
    assert f"declares the data field '{changes.get('key', 'dipole')}' otherwise than {other}: " in record.error
    assert difference in record.error
    assert "'wrong' (wrong-dipoles 1.2.3)" in record.label
    assert host.fields["dipole"].unit == "e Å"


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"key": "my dipole"}, "FieldEntry 'my dipole'.key: not a Python identifier"),
        ({"per": "graph"}, "FieldEntry 'dipole'.per: must be 'frame', 'atom' or 'edge'"),
        ({"per": "atom"}, "with n_frames, n_atoms or n_edges in the shape, got 'atom' and ('n_frames', 3)"),
        ({"irreps": "vector"}, "FieldEntry 'dipole'.irreps: must be irreps of e3nn such as '1o', got 'vector'"),
        ({"unit": "meV"}, "FieldEntry 'dipole'.unit: must have energies in eV (of any unit system), got"),
        ({"ase_property": "di-pole"}, "FieldEntry 'dipole'.ase_property: not a Python identifier, got 'di-pole'"),
        ({"dtype": "int64"}, "FieldEntry 'dipole'.label: a label is float64"),
        ({"shape": (3, "n_frames")}, "FieldEntry 'dipole'.label: a label is float64, per frame or atom, with numbers"),
        ({"shape": ("n_frames", "dim")}, "FieldEntry 'dipole'.label: a label is float64, per frame or atom"),
        ({"key": "dipole_mask"}, "FieldEntry 'dipole_mask'.key: masks and weights of labels end like this"),
        ({"per": "atom", "shape": ("n_atoms",), "extensive": True}, "FieldEntry 'dipole'.extensive: only a field per"),
    ],
)  # fmt: skip
def test_a_contradictory_field_is_refused(install, changes, error):
    install("dipoles", "dipoles", field(**changes))
    assert error in record_of(PluginHost(), "dipoles").error
