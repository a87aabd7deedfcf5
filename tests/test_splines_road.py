"""Radial splines on real ethanol frames: train with them, resume, package, use without the plugin, compile."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml
from ase.io import read

from equipot.artifacts import load_model, random_frames, read_manifest
from equipot.ase import EquipotCalculator
from equipot_test_support.commands import equipot
from equipot_test_support.folders import SMALL_ALLEGRO, current, small_ethanol, write_data

ROOT = Path(__file__).parents[1]
SMALL = {
    "ethanol": {"model_dtype": "float64", "num_layers": 2, "l_max": 1, "num_features": 4, "radial_mlp_width": 8},
    "ethanol_allegro": SMALL_ALLEGRO,
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The current folder, with 8 frames of ethanol and configs of small models with splines."""
    path = tmp_path_factory.mktemp("splines road")
    write_data(path, "ethanol_pbe.extxyz", 8, new="ethanol.extxyz")
    for name, small in SMALL.items():
        config = small_ethanol(name, run=["train"])
        config["training_module"]["model"] = {
            "_target_": "equipot.model.modify",
            "model": config["training_module"]["model"] | small,
            "modifiers": [{"modifier": "train_with_RadialSplines", "num_knots": 65}],
        }
        (path / f"{name}.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    with current(path):
        yield path


@pytest.fixture(scope="module", params=["ethanol", pytest.param("ethanol_allegro", marks=pytest.mark.slow)])
def package(request, folder):
    """A package of two epochs of training."""
    name = request.param
    equipot("train", f"{name}.yaml", "--output", name)
    equipot("package", "build", f"{name}/last.ckpt", f"{name}.equipot.zip")
    return folder / f"{name}.equipot.zip"


@pytest.mark.slow
def test_a_run_goes_on_where_it_stopped(package, folder):
    name = package.name.split(".")[0]
    equipot("train", f"{name}.yaml", "--output", f"{name} half", "trainer.max_epochs=1")
    resume = ["--resume", f"{name} half/last.ckpt", "--allow", "trainer.max_epochs"]
    equipot("train", f"{name}.yaml", "--output", f"{name} rest", *resume)
    whole, rest = (torch.load(folder / run / "last.ckpt", weights_only=True) for run in (name, f"{name} rest"))
    assert whole["state_dict"].keys() == rest["state_dict"].keys()
    assert all(torch.equal(value, rest["state_dict"][key]) for key, value in whole["state_dict"].items())


def test_the_package_says_how_far_it_is_from_the_exact_model(package, capsys):
    manifest = read_manifest(package)
    (modifier,) = [item for item in manifest.modifiers if item["name"] == "train_with_RadialSplines"]
    assert modifier["options"] == {"num_knots": 65}
    assert "equipot-kernels" not in manifest.plugins
    (modules,) = manifest.approximations["modules"]
    assert modules.endswith("SplineRadial(num_knots=65)")
    model = load_model(package)
    frames = random_frames(model.info).values()
    found = max(float((model(frame)["forces"] - model.exact()(frame)["forces"]).abs().max()) for frame in frames)
    assert manifest.approximations["deviations"]["forces"] == pytest.approx(found, rel=1e-6)
    assert 1e-9 < found < 0.1
    equipot("inspect", package)
    assert f"{modules}; largest deviations on golden frames: " in capsys.readouterr().out
    equipot("package", "verify", package)


@pytest.mark.slow
def test_without_the_plugin_the_model_is_exact(package):
    script = f"""
import json, logging, torch
logging.basicConfig(level=logging.WARNING)
from equipot.artifacts import load_model, verify
from equipot.artifacts._golden import random_frames
model = load_model({str(package)!r})
energies = [float(model(frame)["total_energy"].sum()) for frame in random_frames(model.info).values()]
print(json.dumps([energies, verify({str(package)!r})["forces"]]))
"""
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "EQUIPOT_PLUGINS": "-kernels"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "made with train_with_RadialSplines, which is not installed: it is evaluated exactly" in done.stderr
    assert "pip install 'equipot-kernels>=" in done.stderr
    energies, deviation = json.loads(done.stdout)
    exact = load_model(package).exact().eval()
    expected = [float(exact(frame)["total_energy"].sum()) for frame in random_frames(exact.info).values()]
    assert energies == pytest.approx(expected, rel=1e-12)
    assert deviation < 1e-9


@pytest.mark.slow
def test_compiled_with_splines_and_kernels(package, capsys):
    name = package.name.split(".")[0]
    modifiers = ["--modifiers", "enable_FusedKernels", "enable_RadialSplines"]
    equipot("compile", package, f"{name}.equipot.pt2", *modifiers)
    atoms, results = read("ethanol.extxyz", 0), []
    for file in (package, Path(f"{name}.equipot.pt2")):
        atoms.calc = EquipotCalculator(file)
        results.append(atoms.get_forces())
    assert abs(results[0] - results[1]).max() < 1e-9
    equipot("inspect", f"{name}.equipot.pt2")
    assert "SplineRadial(num_knots=65)" in capsys.readouterr().out
