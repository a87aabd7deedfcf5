import subprocess
import sys
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

import equipot
from equipot import _ase_plugin
from equipot.ase import EquipotCalculator


def test_ase_gets_the_calculator(monkeypatch):
    collection = pytest.importorskip("ase._4.plugins.plugin_collection", reason="needs a newer ASE")
    entry = EntryPoint("equipot", "equipot._ase_plugin", "ase.plugins")
    monkeypatch.setattr(collection, "entry_points", lambda group: [entry] if group == "ase.plugins" else [])
    (declared,) = collection.PluginCollection.from_entry_points().calculators
    assert (declared.name, declared.version) == ("equipot", equipot.__version__)
    assert declared.implementation is EquipotCalculator


def test_the_entry_point_is_named_as_ase_looks_it_up():
    project = (Path(__file__).parents[1] / "pyproject.toml").read_text(encoding="utf-8")
    assert '[project.entry-points."ase.plugins"]\nequipot = "equipot._ase_plugin"\n' in project
    assert '\nname = "equipot"\n' in project


def test_declaring_imports_no_torch():
    code = "import sys, equipot._ase_plugin; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_an_ase_without_plugins_gets_nothing(monkeypatch):
    monkeypatch.setitem(sys.modules, "ase._4.plugins.plugin", None)
    assert _ase_plugin._declared() == set()
