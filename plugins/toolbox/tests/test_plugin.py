"""The package as configs see it: names, lazy imports, extras."""

import builtins
import inspect
import subprocess
import sys

import pytest

import equipot_toolbox
from equipot.config import resolve_target
from equipot.describe import describe_options
from equipot.plugins import plugins

NO_PARTS = {"FrameSource", "MetricEntry", "write_lmdb"}
"""Names for Python: a base class, the options of an entry, a function."""


def test_every_public_class_is_declared():
    declared = {name.removeprefix("equipot_toolbox.") for name in plugins().names("parts") if "toolbox" in name}
    assert declared == set(equipot_toolbox.__all__) - NO_PARTS


@pytest.mark.parametrize("name", sorted(set(equipot_toolbox.__all__) - NO_PARTS))
def test_every_part_may_be_a_target_and_is_documented(name):
    found = resolve_target(f"equipot_toolbox.{name}", "x")
    assert found is getattr(equipot_toolbox, name)
    assert [one.name for one in describe_options(found) if not one.doc] == []
    assert not any(one.kind is one.VAR_KEYWORD for one in inspect.signature(found).parameters.values())


def test_the_plugin_is_loaded_and_declares_parts_only():
    (record,) = [record for record in plugins().records if record.id == "toolbox"]
    assert record.declares.keys() == {"parts"}
    assert record.state == "ok"
    assert record.distribution == "equipot-toolbox"


def test_importing_the_package_imports_no_torch():
    heavy = ("torch", "lightning", "numpy", "ase")
    code = f"import sys, equipot_toolbox.plugin; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_a_missing_extra_is_told(monkeypatch):
    original = builtins.__import__

    def without(name, *rest):
        if name.split(".")[0] == "h5py":
            raise ModuleNotFoundError("No module named 'h5py'", name="h5py")
        return original(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    monkeypatch.delitem(sys.modules, "equipot_toolbox._hdf5", raising=False)
    monkeypatch.delitem(vars(equipot_toolbox), "HDF5Dataset", raising=False)
    with pytest.raises(
        ModuleNotFoundError, match=r"HDF5Dataset needs the package 'h5py'; pip install .equipot-toolbox\[hdf5\]"
    ):
        _ = equipot_toolbox.HDF5Dataset
    with pytest.raises(AttributeError, match="No equipot_toolbox attribute HDF4Dataset"):
        _ = equipot_toolbox.HDF4Dataset
