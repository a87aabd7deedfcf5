"""Labels that a plugin declares have weights in losses, errors in metrics, and columns in the tables of a run."""

import numpy as np
import pytest
import torch
from ase.build import molecule
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import write

from equipot.config import with_defaults
from equipot.data import ASEDataModule
from equipot.errors import ConfigError
from equipot.model import ModelInfo
from equipot.train import EnergyForceLoss, EnergyForceMetrics, EnergyOnlyMetrics
from equipot.train._progress import errors
from equipot.train._table import results_table

pytestmark = pytest.mark.usefixtures("own_labels")

BATCH = {
    "num_atoms": torch.tensor([2, 3]),
    "batch": torch.tensor([0, 0, 1, 1, 1]),
    "atom_types": torch.tensor([0, 1, 0, 1, 1]),
    "total_energy": torch.tensor([-1.0, -2.0], dtype=torch.float64),
    "dipole": torch.tensor([[1.0, 0.0, 2.0], [9.0, 9.0, 9.0]], dtype=torch.float64),
    "dipole_mask": torch.tensor([True, False]),
    "charges": torch.tensor([0.5, -0.5, 0.1, 0.2, -0.3], dtype=torch.float64),
    "charges_weight": torch.tensor([2.0, 1.0, 1.0, 0.5, 0.5], dtype=torch.float64),
}
OUTPUTS = {
    "total_energy": torch.tensor([-1.5, -2.0], dtype=torch.float64),
    "dipole": torch.tensor([[1.5, 0.0, 1.0], [0.0, 0.0, 0.0]], dtype=torch.float64),
    "charges": torch.tensor([0.4, -0.5, 0.3, 0.2, -0.3], dtype=torch.float64),
}


def test_squared_errors_count_where_there_is_a_label():
    loss = EnergyForceLoss(coeffs={"total_energy": 1.0, "dipole": 3.0, "charges": 4.0})
    assert loss.labels == ("total_energy", "dipole", "charges")
    assert loss.predictions == loss.labels
    terms = loss(OUTPUTS, BATCH)
    assert terms["dipole_mse"].item() == pytest.approx((0.25 + 1.0) / 3)
    assert terms["charges_mse"].item() == pytest.approx((2.0 * 0.01 + 0.04) / 5)
    total = 0.0625 / 2 + 3.0 * 1.25 / 3 + 4.0 * 0.06 / 5
    assert terms["weighted_sum"].item() == pytest.approx(total / 8)


def test_a_loss_of_a_dipole_alone_needs_no_energies():
    loss = EnergyForceLoss({"dipole": 1.0})
    assert loss.labels == ("dipole",)
    assert list(loss(OUTPUTS, BATCH)) == ["dipole_mse", "weighted_sum"]


def test_huber_by_name():
    loss = EnergyForceLoss({"dipole": 1.0}, huber={"dipole": 0.5})
    assert loss(OUTPUTS, BATCH)["dipole_huber"].item() == pytest.approx((0.25 + 2 * 0.5 * 1.0 - 0.25) / 3)
    one_number = EnergyForceLoss({"total_energy": 1.0, "dipole": 1.0}, huber=0.5)
    assert set(one_number.names) >= {"per_atom_energy_huber", "dipole_mse"}, "a number is for forces and energies"


def test_metrics_by_name():
    metrics = EnergyOnlyMetrics(labels=["dipole", "charges"], coeffs={"dipole_mae": 1.0})
    metrics.update(OUTPUTS, BATCH)
    found = {name: value.item() for name, value in metrics.epoch_values().items()}
    assert found["dipole_mae"] == pytest.approx(0.5)
    assert found["dipole_rmse"] == pytest.approx(np.sqrt(1.25 / 3))
    assert found["charges_mae"] == pytest.approx((2.0 * 0.1 + 0.2) / 5)
    assert found["charges_maxabserr"] == pytest.approx(0.2)
    assert found["weighted_sum"] == found["dipole_mae"]


def test_misspelled_names_get_a_hint():
    with pytest.raises(ConfigError, match=r"EnergyForceLoss.coeffs.dipol: unknown label; did you mean 'dipole'\?"):
        EnergyForceLoss({"dipol": 1.0})
    with pytest.raises(ConfigError, match=r"EnergyForceLoss.huber: unknown label, got 'dipole'"):
        EnergyForceLoss({"forces": 1.0}, huber={"dipole": 1.0})
    with pytest.raises(ConfigError, match=r"EnergyForceMetrics.labels: unknown label, got 'dipoles'; did you"):
        EnergyForceMetrics(labels=["dipoles"])


def test_tables_show_them_in_their_units():
    logged = {
        "val0_epoch/per_atom_energy_mae": 0.001,
        "val0_epoch/dipole_mae": 0.25,
        "val0_epoch/work_function_mae": 0.1,
    }
    table = results_table({"val": logged}, "metal")
    for words in ("dipole MAE", "e Å", "0.25", "work function MAE", "meV/e", "100"):
        assert words in table
    said = errors(logged, "real")
    assert said == ["val0 MAE energy 0.04336 meV/atom, dipole 0.25 e Å, work function 4.336 meV/e"]


def test_a_config_that_weighs_them_measures_them_too():
    config = {
        "data": {"split_dataset": {"file_path": "a.extxyz"}, "labels": {"total_energy": "energy", "dipole": "mu"}},
        "training_module": {
            "loss": {"coeffs": {"total_energy": 1.0, "dipole": 0.1}},
            "model": {"_target_": "equipot.model.InvariantModel", "r_max": 4.0},
        },
    }
    metrics = with_defaults(config)["training_module"]["val_metrics"]
    assert metrics["labels"] == ["dipole"]
    assert metrics["coeffs"] == {"per_atom_energy_mae": 1.0, "dipole_mae": 1.0}
    del config["training_module"]["loss"]["coeffs"]["dipole"]
    assert "labels" not in with_defaults(config)["training_module"]["val_metrics"]


class ChargeModel(torch.nn.Module):
    """Stands in for a model with heads: charges of types, which leave molecules neutral, and dipoles from them."""

    def __init__(self, num_types):
        super().__init__()
        self.charges = torch.nn.Parameter(torch.zeros(num_types, dtype=torch.float64))

    def forward(self, batch):
        charges, frames = self.charges[batch["atom_types"]], batch["batch"]
        mean = (
            torch.zeros(len(batch["num_atoms"]), dtype=torch.float64).index_add(0, frames, charges) / batch["num_atoms"]
        )
        charges = charges - mean[frames]
        parts = charges.unsqueeze(1) * batch["positions"]
        return {"charges": charges, "dipole": torch.zeros_like(batch["dipole"]).index_add(0, frames, parts)}


def test_learning_dipoles_from_a_file(tmp_path):
    """From frames in a file to a loss that falls, and to a small error of the validation set."""
    rng, frames = np.random.default_rng(7), []
    for seed in range(18):
        atoms = molecule("H2O" if seed % 2 else "CH3OH")
        atoms.rattle(0.1, seed=seed)
        charges = np.array([{8: -0.7, 1: 0.3, 6: 0.1}[number] for number in atoms.numbers])
        dipole = (charges - charges.mean()) @ atoms.positions + 0.001 * rng.normal(size=3)
        if seed % 6:
            atoms.calc = SinglePointCalculator(atoms, energy=-1.0, dipole=dipole)
        else:
            atoms.calc = SinglePointCalculator(atoms, energy=-1.0)
        frames.append(atoms)
    write(tmp_path / "a.extxyz", frames)
    data = ASEDataModule(
        1,
        split_dataset={"file_path": str(tmp_path / "a.extxyz"), "train": 12, "val": 6},
        labels={"total_energy": "energy", "dipole": "dipole"},
        train_dataloader={"batch_size": 4},
    )
    types = ("C", "H", "O")
    data.bind(ModelInfo(type_names=types, r_max=3.0, chemical_species=types, cutoffs=None, model_dtype="float64"))
    model, loss = ChargeModel(3), EnergyForceLoss({"dipole": 1.0})
    optimizer = torch.optim.Adam(model.parameters(), lr=0.2)
    seen = []
    for _ in range(12):
        for batch in data.train_dataloader():
            optimizer.zero_grad()
            loss(model(batch), batch)["weighted_sum"].backward()
            optimizer.step()
        seen.append(loss.epoch_values()["dipole_mse"].item())
        loss.reset()
    assert seen[-1] < 0.05 * seen[0]
    metrics = EnergyOnlyMetrics(labels=["dipole"], coeffs={"dipole_rmse": 1.0})
    for batch in data.val_dataloader()[0]:
        metrics.update(model(batch), batch)
    assert metrics.epoch_values()["dipole_rmse"].item() < 0.1 < np.sqrt(seen[0])
