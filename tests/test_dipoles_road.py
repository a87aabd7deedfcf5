"""Dipole moments from a config to ASE, on a few frames of the example with real labels."""

import json

import numpy as np
import pytest
import yaml
from ase.io import read, write

from equipot._cli.main import main
from equipot.artifacts import load_model, write_package
from equipot.ase import EquipotCalculator
from equipot_test_support import ROOT

EXAMPLES = ROOT / "examples"


@pytest.mark.slow
def test_dipole_moments_are_learnt_and_shown(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    frames = read(EXAMPLES / "data/ethanol_gfn2.extxyz", ":60")
    write("train.extxyz", frames[:44])
    write("test.extxyz", frames[44:])
    config = yaml.safe_load((EXAMPLES / "ethanol_dipoles.yaml").read_text(encoding="utf-8"))
    config["run"] = ["train", "val"]
    config["data"]["split_dataset"] = {"file_path": "train.extxyz", "train": 40, "val": 4}
    config["trainer"] |= {"max_epochs": 12, "logger": False, "enable_progress_bar": False}
    config["training_module"]["lr_scheduler"]["scheduler"]["T_max"] = 12
    config["training_module"]["model"]["model"] |= {"num_features": 8, "radial_mlp_width": 8}
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    assert main(["train", "config.yaml", "--output", "run"]) == 0, capfd.readouterr().err
    capfd.readouterr()
    assert main(["eval", "run/best.ckpt", "test.extxyz", "--labels", "dipole=dipole", "--json"]) == 0
    found = json.loads(capfd.readouterr().out)
    labels = np.array([one.get_dipole_moment() for one in frames[44:]])
    assert found["dipole_rmse_e_angstrom"] < 0.3 * np.sqrt(np.mean(labels**2))
    write_package(load_model("run/best.ckpt"), "ethanol.equipot.zip")
    ethanol = frames[50]
    expected = ethanol.get_dipole_moment()
    ethanol.calc = EquipotCalculator("ethanol.equipot.zip")
    assert np.linalg.norm(ethanol.get_dipole_moment() - expected) < 0.5 * np.linalg.norm(expected)
    charges = ethanol.get_charges()
    assert abs(charges.sum()) < 1e-6
