import pytest
import torch
from ase import Atoms
from ase.io import write

from equipot.artifacts import _modify as modify
from equipot.artifacts import _package as package
from equipot.artifacts import load_model, read_package, verify
from equipot.errors import ArtifactError, ConfigError, DataError, PluginError
from equipot.model import apply_modifier


def test_modified_packages(make_model, package_file, tmp_path):
    out = tmp_path / "modified.equipot.zip"
    before = package_file.read_bytes()
    steps = [("modify_PerTypeScaleShift", {"shifts": {"H": -15.0}}), ("disable_ForceStressOutput", {})]
    manifest = modify.modify_package(package_file, out, steps)
    assert package_file.read_bytes() == before
    assert [item["name"] for item in manifest.modifiers] == [
        "enable_ForceStressOutput",
        "modify_PerTypeScaleShift",
        "disable_ForceStressOutput",
    ]
    assert manifest.model["outputs"] == ["atomic_energy", "total_energy"]
    assert manifest.provenance["source"] == package_file.name
    assert (
        manifest.provenance["source_fingerprint"]
        == package.read_manifest(package_file).fingerprint
        != manifest.fingerprint
    )
    model = load_model(out)
    assert model.scale_shift.values("shifts") == {"C": -1027.6, "H": -15.0, "O": -2041.8}
    assert model.derivatives is None
    verify(out)


def test_never_in_place(package_file):
    with pytest.raises(ArtifactError, match="would overwrite the package to modify"):
        modify.modify_package(package_file, package_file, [("disable_ForceStressOutput", {})])


def test_only_persistent_modifiers(package_file, tmp_path, monkeypatch):
    with pytest.raises(PluginError, match="no modifier named 'enable_Nothing'"):
        modify.modify_package(package_file, tmp_path / "b.equipot.zip", [("enable_Nothing", {})])
    from equipot.plugins import plugins

    declared = plugins().lookup("modifiers", "disable_ForceStressOutput")
    monkeypatch.setitem(declared.entry.__dict__, "persistent", False)
    with pytest.raises(ConfigError, match="are not persistent"):
        modify.modify_package(package_file, tmp_path / "b.equipot.zip", [("disable_ForceStressOutput", {})])


def test_packages_of_checkpoints(make_model, make_checkpoint, tmp_path):
    model = make_model()
    out = tmp_path / "a.equipot.zip"
    manifest = modify.package_checkpoint(make_checkpoint(model), out, weights="raw")
    assert manifest.provenance["weights"] == "raw"
    assert manifest.provenance["source"] == "model.ckpt"
    assert len(manifest.provenance["source_sha256"]) == 64
    assert torch.equal(load_model(out).energy.weights, model.energy.weights)


def test_golden_frames_from_data(make_model, make_checkpoint, tmp_path):
    data, out = tmp_path / "data.extxyz", tmp_path / "a.equipot.zip"
    write(data, [Atoms("OH2", positions=[[0, 0, 0], [0.96 + 0.01 * k, 0, 0], [-0.24, 0.93, 0]]) for k in range(8)])
    modify.package_checkpoint(make_checkpoint(make_model()), out, golden_data=data)
    frames = read_package(out).golden
    assert [frame.name for frame in frames] == [f"data{k}" for k in range(5)]
    assert float(frames[4].inputs["positions"][1, 0]) == 1.0
    verify(out)
    write(data, Atoms("Au"))
    with pytest.raises(DataError, match="Au"):
        modify.package_checkpoint(make_checkpoint(make_model()), out, golden_data=data)


def test_modifiers_survive_several_generations(make_model, tmp_path):
    model = apply_modifier(make_model(do_derivatives=False), "enable_ForceStressOutput")
    first, second, third = (tmp_path / f"{name}.equipot.zip" for name in "abc")
    package.write_package(model, first)
    modify.modify_package(first, second, [("modify_PerTypeScaleShift", {"scales": 2.0, "scales_trainable": True})])
    modify.modify_package(second, third, [("modify_PerTypeScaleShift", {"scales": {"C": 3.0}})])
    assert load_model(third).scale_shift.values("scales") == {"C": 3.0, "H": 2.0, "O": 2.0}
    verify(third)
