"""The package as configs see it: names, lazy imports, extras."""

import builtins
import inspect
import subprocess
import sys

import pytest
import torch

import equipot_toolbox
from equipot.config import resolve_target
from equipot.describe import describe_options
from equipot.plugins import plugins


@pytest.mark.parametrize("name", [name for name in equipot_toolbox.__all__ if name[0].isupper()])
def test_every_class_may_be_a_target_and_is_documented(name):
    found = resolve_target(f"equipot_toolbox.{name}", "x")
    assert found is getattr(equipot_toolbox, name)
    if issubclass(found, torch.optim.Optimizer) and name.endswith("Free"):
        return  # thin subclasses
    assert [one.name for one in describe_options(found) if not one.doc] == []
    assert not any(one.kind is one.VAR_KEYWORD for one in inspect.signature(found).parameters.values())


def test_the_plugin_is_loaded_and_declares_nothing():
    (record,) = [record for record in plugins().records if record.id == "toolbox"]
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
