"""Allegro-like models on real ethanol frames: train the example small, resume, package, modify, compile, ASE."""

from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from ase.calculators.fd import calculate_numerical_forces
from ase.io import read

from equipot._cli.main import main
from equipot.artifacts import load_model, read_manifest
from equipot.ase import EquipotCalculator
from equipot.model import ModelFromPackage, modify
from equipot_test_support.commands import equipot
from equipot_test_support.folders import SMALL_ALLEGRO, current, small_ethanol, write_data
from equipot_testing.frames import batch_of, standard_structures

ROOT = Path(__file__).parents[1]
EMBEDDINGS = {
    "bessel": {"_target_": "equipot_allegro.TwoBodyBesselScalarEmbed", "num_bessels": 4},
    "spline": {"_target_": "equipot_allegro.TwoBodySplineScalarEmbed", "num_splines": 6, "spline_span": 4},
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The current folder, with 8 frames of ethanol and small configs."""
    path = tmp_path_factory.mktemp("allegro road")
    write_data(path, "ethanol_pbe.extxyz", 8, new="ethanol.extxyz")
    for name, embedding in EMBEDDINGS.items():
        config = small_ethanol("ethanol_allegro", run=["train", "val"])
        config["training_module"]["model"] |= {**SMALL_ALLEGRO, "radial_chemical_embed": embedding}
        (path / f"{name}.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    with current(path):
        yield path


def packaged(folder, name):
    """A package of two epochs of training."""
    path = folder / f"{name}.equipot.zip"
    if not path.exists():
        equipot("train", f"{name}.yaml", "--output", name)
        equipot("package", "build", f"{name}/last.ckpt", path.name)
    return path


@pytest.fixture(scope="module", params=EMBEDDINGS)
def package(request, folder):
    return packaged(folder, request.param)


@pytest.mark.slow
def test_a_package_holds_the_trained_model(package):
    checkpoint = load_model(package.with_name(package.name.split(".")[0]) / "last.ckpt").eval()
    model, manifest = load_model(package).eval(), read_manifest(package)
    assert manifest.plugins.keys() == {"equipot-allegro", "equipot-force-stress", "equipot-zbl"}
    assert manifest.model["locality"] == "strict"
    assert any("Musaelian" in text for text in manifest.citations)
    batch = batch_of(standard_structures(3).values(), model.info)
    for key, value in checkpoint(batch).items():
        assert torch.equal(model(batch)[key], value)
    equipot("package", "verify", package)


@pytest.mark.slow
def test_trained_models_have_their_forces_in_ase(package):
    atoms = read("ethanol.extxyz", 0)
    atoms.calc = EquipotCalculator(package)
    forces = atoms.get_forces()
    assert np.abs(forces).max() > 0.01
    np.testing.assert_allclose(forces, calculate_numerical_forces(atoms, eps=1e-4), atol=1e-6)


@pytest.mark.slow
def test_a_run_goes_on_where_it_stopped(folder):
    equipot("train", "bessel.yaml", "--output", "whole", "run=[train]")
    equipot("train", "bessel.yaml", "--output", "half", "trainer.max_epochs=1", "run=[train]")
    resume = ["--resume", "half/last.ckpt", "--allow", "trainer.max_epochs"]
    equipot("train", "bessel.yaml", "--output", "rest", "run=[train]", *resume)
    whole, rest = (load_model(folder / name / "last.ckpt").state_dict() for name in ("whole", "rest"))
    assert all(torch.equal(value, rest[name]) for name, value in whole.items())


@pytest.mark.slow
def test_modifiers_work_on_packages(package):
    path = str(package)
    without = modify(model=ModelFromPackage(package_path=path), modifiers=[{"modifier": "disable_ForceStressOutput"}])
    with_scale = modify(
        model=ModelFromPackage(package_path=path),
        modifiers=[{"modifier": "modify_PerTypeScaleShift", "shifts": {"C": 1.0, "H": 2.0, "O": 3.0}}],
    )
    original = load_model(package).eval()
    batch = batch_of(standard_structures(3).values(), original.info)
    energies, shifted = without.build().eval()(batch), with_scale.build().eval()(batch)
    assert energies.keys() == {"atomic_energy", "total_energy"}
    assert torch.equal(energies["total_energy"], original(batch)["total_energy"])
    torch.testing.assert_close(shifted["forces"], original(batch)["forces"], rtol=1e-12, atol=1e-12)
    assert not torch.equal(shifted["total_energy"], energies["total_energy"])


@pytest.mark.usefixtures("folder")
def test_parts_of_the_config_are_checked(capsys):
    option = "training_module.model.radial_chemical_embed"
    wrong = {
        "num_splins=4": f"{option}.num_splins: unknown option; did you mean 'num_splines'?",
        "num_splines=0": f"{option}.num_splines: must be greater than 0, got 0",
    }
    for change, message in wrong.items():
        prefix = "" if change.startswith("num_splines") else "+"
        assert main(["check", "spline.yaml", f"{prefix}{option}.{change}"]) == 2
        assert message in capsys.readouterr().err
    assert main(["check", "spline.yaml", f"{option}._target_=equipot_allegro.TwoBodySplinScalarEmbed"]) == 2
    assert "TwoBodySplineScalarEmbed" in capsys.readouterr().err


def test_the_examples_differ_from_those_of_the_other_model_in_the_model_alone():
    for name in ("ethanol", "water"):
        config = yaml.safe_load((ROOT / f"examples/{name}_allegro.yaml").read_text(encoding="utf-8"))
        plain = yaml.safe_load((ROOT / f"examples/{name}.yaml").read_text(encoding="utf-8"))
        for one in (config, plain):
            del one["training_module"]["model"]
        assert config == plain


@pytest.mark.slow
def test_a_compiled_model_gives_the_same(folder):
    """With the spline embedding; the plugin's own test compiles the other one."""
    package = packaged(folder, "spline")
    equipot("compile", package, "spline.equipot.pt2")
    atoms = read("ethanol.extxyz", 0)
    results = []
    for file in (package, "spline.equipot.pt2"):
        atoms.calc = EquipotCalculator(file)
        results.append((atoms.get_potential_energy(), atoms.get_forces()))
    assert results[0][0] == pytest.approx(results[1][0], abs=1e-9)
    np.testing.assert_allclose(results[0][1], results[1][1], atol=1e-10)
