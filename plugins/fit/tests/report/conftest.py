"""Runs that the tests of reports look at, each made once."""

import shutil

import pytest
import yaml
from ase.io import read, write

from equipot_test_support import ROOT
from equipot_test_support.commands import equipot
from equipot_test_support.configs import short_run

HOSTILE = "<script>alert(1)</script>"
"""A config type, which a report must show and a browser must not run."""

MODEL = {
    "_target_": "equipot.model.NequIPGNNModel", "seed": 1, "model_dtype": "float32", "type_names": ["C", "H", "O"],
    "r_max": 3.0, "num_layers": 1, "l_max": 1, "num_features": 4, "radial_mlp_width": 8, "avg_num_neighbors": 8.0,
    "per_type_energy_shifts": "${training_data_stats:per_type_energy_shifts_auto}",
}  # fmt: skip


def ethanol(path, *, forces=True):
    """Some of the repository's ethanol frames, of two config types."""
    frames = read(ROOT / "examples/data/ethanol_pbe.extxyz", index=":24")
    for number, atoms in enumerate(frames):
        atoms.info["config_type"] = HOSTILE if number % 2 else "plain"
        if not forces:
            atoms.calc.results.pop("forces")
    write(path, [*frames, *read(ROOT / "examples/data/ethanol_pbe_isolated_atoms.extxyz", index=":")])


def trained(folder, data, *, model=MODEL, energies_only=False, **sizes):
    """A run of two epochs in the folder ``run``."""
    config = short_run(str(data), dict(model), **sizes)
    config["trainer"].pop("logger")
    if energies_only:
        module = config["training_module"]
        module["loss"] = {"_target_": "equipot.train.EnergyOnlyLoss"}
        module["val_metrics"] = {"_target_": "equipot.train.EnergyOnlyMetrics", "coeffs": {"per_atom_energy_mae": 1.0}}
        module["model"]["do_derivatives"] = False
    (folder / "config.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    equipot("train", folder / "config.yaml", "--output", folder / "run")
    return folder / "run"


@pytest.fixture(scope="session", autouse=True)
def _short_measurements():
    """What is measured for seconds in a report takes a fraction of one in a test."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("equipot_fit._report._dynamics.SECONDS", 0.3)
        patch.setattr("equipot_fit._report._speed.SECONDS", 0.1)
        yield


@pytest.fixture(scope="session")
def made_run(tmp_path_factory):
    """A whole run on molecules with energies and forces, whose file and config type are hostile names."""
    folder = tmp_path_factory.mktemp("molecules")
    ethanol(folder / "a<b>&.extxyz")
    return trained(folder, folder / "a<b>&.extxyz", train=12, val=4, test=6)


@pytest.fixture
def run(made_run, tmp_path):
    """A copy that a test may change."""
    return shutil.copytree(made_run, tmp_path / "run")


@pytest.fixture(scope="session")
def energies_run(tmp_path_factory):
    """A run on energies alone, without a test set."""
    folder = tmp_path_factory.mktemp("energies")
    ethanol(folder / "energies.extxyz", forces=False)
    return trained(folder, folder / "energies.extxyz", energies_only=True, train=14, val=4)


@pytest.fixture(scope="session")
def liquid_run(tmp_path_factory):
    """A run on a periodic liquid with stress."""
    folder = tmp_path_factory.mktemp("liquid")
    frames = read(ROOT / "examples/data/water_gfn1.extxyz", index=":8")
    write(folder / "water.extxyz", frames)
    model = {**MODEL, "type_names": ["H", "O"]}
    return trained(folder, folder / "water.extxyz", model=model, train=4, val=2, test=2)
