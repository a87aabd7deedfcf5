"""Dipole moments from a config to ASE, as the page shows it, on point charges that depend on the bonds of water."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
import yaml
from ase.io import read

from equipot._cli.main import main
from equipot.artifacts import load_model, write_package
from equipot.ase import EquipotCalculator

PAGE = Path(__file__).parents[1] / "docs" / "how-to" / "dipoles.md"


def with_dipole(atoms):
    """The frame turned at random, with the dipole moment of charges that grow with the length of their bond."""
    random = np.random.default_rng(int(1e6 * abs(atoms.positions[1, 0])))
    turn = np.linalg.qr(random.normal(size=(3, 3)))[0]
    forces, energy = atoms.get_forces() @ turn.T, atoms.get_potential_energy()
    atoms.positions = atoms.positions @ turn.T
    charges = 0.33 + 0.2 * (np.linalg.norm(atoms.positions[1:] - atoms.positions[0], axis=1) - 0.96)
    atoms.info["dipole"] = charges @ (atoms.positions[1:] - atoms.positions[0])
    atoms.calc.results = {"energy": energy, "forces": forces}
    return atoms


@pytest.mark.slow
def test_dipole_moments_are_learnt_and_shown(folder, capfd):
    (config,) = re.findall(r"```yaml\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    made = yaml.safe_load(config)
    made["trainer"] |= {"logger": False, "enable_progress_bar": False, "enable_model_summary": False}
    folder.write(yaml.safe_dump(made))
    folder.change_data(with_dipole)
    code, _, errors = folder.call("--output", "run")
    assert code == 0, errors
    assert main(["eval", "run/best.ckpt", "water.extxyz", "--labels", "dipole=dipole", "--json"]) == 0
    found = json.loads(capfd.readouterr().out)
    frames = read("water.extxyz", ":")
    labels = [one.calc.results["dipole"] for one in frames]  # where ASE puts a column of this name
    size = np.sqrt(np.mean(np.square(labels)))
    assert found["dipole_rmse_e_angstrom"] < 0.1 * size
    write_package(load_model("run/best.ckpt"), "water.equipot.zip")
    water = frames[0]
    water.calc = EquipotCalculator("water.equipot.zip")
    assert np.abs(water.get_dipole_moment() - labels[0]).max() < 0.5 * size
    assert abs(water.get_charges().sum()) < 1e-6
    assert water.get_charges()[0] < 0.0 < water.get_charges()[1:].min()
