"""The config of the README and the docs on the NequIP-like builder, each of its lines, with real ethanol frames.

Tiny models: what is tested is that the names work and mean what they say, not how good they are.
"""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from ase.calculators.fd import calculate_numerical_forces, calculate_numerical_stress
from ase.io import read, write

from equipot.artifacts import load_model
from equipot.ase import EquipotCalculator
from equipot.config._check import check_config
from equipot.config._load import compose
from equipot_test_support.commands import equipot
from equipot_test_support.folders import current, train_config, write_data
from equipot_test_support.roads import FINE_TUNING, check_outputs_kept, force_loss, with_forces

DATA = Path(__file__).parents[1] / "examples" / "data"

CONFIG = """
run: [train, val]
chemical_symbols: [C, H, O]
cutoff_radius: 3.5
data:
  _target_: equipot.data.ASEDataModule
  seed: 1
  split_dataset: {file_path: ethanol.extxyz, train: 6, val: 2}
  transforms:
    - _target_: equipot.data.transforms.ChemicalSpeciesToAtomTypeMapper
      model_type_names: ${chemical_symbols}
    - _target_: equipot.data.transforms.NeighborListTransform
      r_max: ${cutoff_radius}
  train_dataloader: {batch_size: 3}
  val_dataloader: {batch_size: 2}
  stats_manager: {_target_: equipot.data.CommonDataStatisticsManager}
trainer:
  _target_: lightning.Trainer
  accelerator: cpu
  max_epochs: 1
  logger: false
  enable_progress_bar: false
  enable_model_summary: false
training_module:
  _target_: equipot.train.EMALightningModule
  loss: {_target_: equipot.train.EnergyForceLoss, coeffs: {total_energy: 1.0, forces: 1.0}}
  val_metrics: {_target_: equipot.train.EnergyForceMetrics, coeffs: {forces_mae: 1.0}}
  optimizer: {_target_: torch.optim.Adam, lr: 0.005}
  model:
    _target_: equipot.model.NequIPGNNModel
    seed: 1
    model_dtype: float64
    type_names: ${chemical_symbols}
    r_max: ${cutoff_radius}
    num_layers: 2
    l_max: 1
    num_features: [4, 2]
    radial_mlp_width: 6
    do_derivatives: true
    avg_num_neighbors: ${training_data_stats:num_neighbors_mean}
    per_type_energy_shifts: ${training_data_stats:per_atom_energy_mean}
    per_type_energy_scales: ${training_data_stats:per_type_forces_rms}
    pair_potential:
      _target_: equipot.pair_potentials.ZBL
      units: metal
      chemical_species: ${chemical_symbols}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with 8 frames of ethanol, and the current one while these tests run."""
    path = tmp_path_factory.mktemp("ethanol road")
    write_data(path, "ethanol_pbe.extxyz", 8, new="ethanol.extxyz")
    with current(path):
        yield path


def config(**model):
    made = yaml.safe_load(CONFIG)
    made["training_module"]["model"].update(model)
    return made


def energy_only():
    made = config(do_derivatives=False, per_type_energy_scales="${training_data_stats:per_atom_energy_std}")
    made["data"]["stats_manager"] = {"_target_": "equipot.data.EnergyOnlyDataStatisticsManager"}
    made["training_module"]["loss"] = {"_target_": "equipot.train.EnergyOnlyLoss"}
    made["training_module"]["val_metrics"] = {"_target_": "equipot.train.EnergyOnlyMetrics"}
    return made


def train(folder, name, made, *overrides):
    return train_config(folder, name, made, *overrides) / "last.ckpt"


@pytest.fixture(scope="module")
def energy_checkpoint(folder):
    return train(folder, "energy_only", energy_only())


def test_every_line_of_the_config_reaches_the_model(folder):
    checkpoint = train(folder, "full", yaml.safe_load(CONFIG))
    model = load_model(checkpoint)
    assert model.config["_target_"] == "equipot.model.NequIPGNNModel"
    assert model.config["pair_potential"]["_target_"] == "equipot.pair_potentials.ZBL"
    assert model.info.outputs[:3] == ("atomic_energy", "total_energy", "forces")
    frames = [read(folder / "ethanol.extxyz", index) for index in yaml_split(folder, "full")["train"]]
    energies = [atoms.get_potential_energy() / len(atoms) for atoms in frames]
    assert model.scale_shift.values("shifts") == pytest.approx(dict.fromkeys("CHO", np.mean(energies)))
    for symbol, scale in model.scale_shift.values("scales").items():
        rows = [atoms.get_forces()[[one == symbol for one in atoms.symbols]] for atoms in frames]
        assert scale == pytest.approx(np.sqrt(np.mean(np.concatenate(rows) ** 2)))
    pairs = sum((atoms.get_all_distances() < 3.5).sum() - len(atoms) for atoms in frames)
    assert model.config["avg_num_neighbors"] == pytest.approx(pairs / sum(map(len, frames)))


def yaml_split(folder, name):
    return yaml.safe_load((folder / name / "splits.json").read_text(encoding="utf-8"))


def test_a_statistic_named_by_the_user(folder):
    made = config(per_type_energy_scales="${training_data_stats:my_custom_stat}", do_derivatives=True)
    neighbors = {"field": {"_target_": "equipot.data.NumNeighbors"}, "metric": {"_target_": "equipot.data.Mean"}}
    forces = {"field": "forces", "metric": {"_target_": "equipot.data.MeanAbsolute"}, "per_type": True}
    made["data"]["stats_manager"] = {
        "_target_": "equipot.data.DataStatisticsManager",
        "metrics": [{**forces, "name": "my_custom_stat"}, {**neighbors, "name": "num_neighbors_mean"}],
    }
    made["training_module"]["model"]["per_type_energy_shifts"] = -467.7
    made["run"] = ["val"]
    (folder / "custom.yaml").write_text(yaml.safe_dump(made), encoding="utf-8")
    equipot("train", "custom.yaml", "--output", "custom")
    used = yaml.safe_load((folder / "custom" / "config.json").read_text(encoding="utf-8"))
    frames = [read(folder / "ethanol.extxyz", index) for index in yaml_split(folder, "custom")["train"]]
    for symbol, scale in used["training_module"]["model"]["per_type_energy_scales"].items():
        rows = [atoms.get_forces()[[one == symbol for one in atoms.symbols]] for atoms in frames]
        assert scale == pytest.approx(np.abs(np.concatenate(rows)).mean())


def test_own_paths_of_the_plugins_and_numbers_by_type(folder):
    shifts = {"C": -1027.6, "H": -13.6, "O": -2041.8}
    other = config(_target_="equipot_nequip.NequIPGNNModel", per_type_energy_shifts=shifts)
    other["training_module"]["model"]["pair_potential"]["_target_"] = "equipot_zbl.ZBL"
    (folder / "paths.yaml").write_text(yaml.safe_dump(other), encoding="utf-8")
    (folder / "names.yaml").write_text(yaml.safe_dump(config(per_type_energy_shifts=shifts)), encoding="utf-8")
    recipes = [check_config(compose(file)[0]).recipe for file in ("paths.yaml", "names.yaml")]
    assert recipes[0] == recipes[1]
    assert recipes[0].per_type_energy_shifts == shifts


def test_energy_only_run_reads_no_forces_and_never_differentiates(folder, monkeypatch):
    frames = read(folder / "ethanol.extxyz", ":")
    for atoms in frames:
        atoms.calc.results["forces"] = np.full((len(atoms), 3), np.nan)
    write(folder / "nan_forces.extxyz", frames)
    monkeypatch.setattr(torch.autograd, "grad", lambda *_args, **_kwargs: pytest.fail("autograd.grad was called"))
    last = train(folder, "energies", energy_only(), "data.split_dataset.file_path=nan_forces.extxyz")
    assert load_model(last).info.outputs == ("atomic_energy", "total_energy")


@pytest.mark.slow
def test_fine_tuning_starts_with_the_same_energies_and_lowers_the_loss(folder, energy_package):
    tuned = with_forces(energy_package)
    check_outputs_kept(tuned, load_model(energy_package).eval())

    made = config()
    made["training_module"]["model"] = FINE_TUNING
    del made["data"]["stats_manager"]
    epochs = ["trainer.max_epochs=6", "run=[train]"]
    last = train(folder, "tuned", made, *epochs)
    losses = [force_loss(model, read("ethanol.extxyz", ":")) for model in (load_model(last, weights="raw"), tuned)]
    assert losses[0] < losses[1]


@pytest.mark.slow
def test_compile_command_gives_an_energy_only_checkpoint_forces_and_stress(folder, energy_checkpoint):
    (folder / "model.ckpt").write_bytes(energy_checkpoint.read_bytes())
    line = (
        "equipot-compile model.ckpt compiled.equipot.pt2 --compile-mode aotinductor "
        "--modifiers enable_ForceStressOutput"
    )
    name, *words = line.split()
    command = [Path(sys.executable).with_name(name), *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=dict(os.environ))
    assert done.returncode == 0, done.stderr
    atoms = read(folder / "ethanol.extxyz", 0)
    atoms.set_cell([[5.1, 0.0, 0.0], [0.6, 5.4, 0.0], [-0.4, 0.7, 5.8]])
    atoms.pbc = True
    atoms.calc = EquipotCalculator("compiled.equipot.pt2", skin=0.0)
    forces, stress = atoms.get_forces(), atoms.get_stress()
    assert np.abs(forces).max() > 0.01
    np.testing.assert_allclose(forces, calculate_numerical_forces(atoms, eps=1e-4), atol=1e-5)
    np.testing.assert_allclose(stress, calculate_numerical_stress(atoms, eps=1e-5), atol=1e-6)
