"""Labelled water molecules, and a config that trains on them."""

import numpy as np
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator

CONFIG = """
run: [train, val, test]
cutoff_radius: 4.0
chemical_symbols: [H, O]
data:
  _target_: equipot.data.ASEDataModule
  seed: 1
  split_dataset: {file_path: water.extxyz, train: 12, val: 4, test: 4}
  train_dataloader: {batch_size: 4}
  val_dataloader: {batch_size: 4}
  test_dataloader: {batch_size: 4}
  stats_manager: {_target_: equipot.data.CommonDataStatisticsManager}
trainer:
  _target_: lightning.Trainer
  max_epochs: 2
  accelerator: cpu
  enable_model_summary: false
  enable_progress_bar: false
  logger: false
training_module:
  _target_: equipot.train.EMALightningModule
  loss: {_target_: equipot.train.EnergyForceLoss, coeffs: {total_energy: 1.0, forces: 1.0}}
  val_metrics: {_target_: equipot.train.EnergyForceMetrics, coeffs: {per_atom_energy_rmse: 1, forces_rmse: 1}}
  optimizer: {_target_: torch.optim.Adam, lr: 0.01}
  lr_scheduler:
    scheduler: {_target_: torch.optim.lr_scheduler.ReduceLROnPlateau, factor: 0.6, patience: 0, threshold: 0.5}
    monitor: val0_epoch/weighted_sum
  model:
    _target_: equipot.model.InvariantModel
    seed: 1
    model_dtype: float64
    type_names: ${chemical_symbols}
    r_max: ${cutoff_radius}
    avg_num_neighbors: ${training_data_stats:num_neighbors_mean}
    per_type_energy_shifts: ${training_data_stats:per_atom_energy_mean}
    per_type_energy_scales: ${training_data_stats:per_type_forces_rms}
"""
"""A config for the 20 frames of ``water_frames``."""

ENERGY_ONLY = [
    "+training_module.model.do_derivatives=false",
    "training_module.loss={_target_: equipot.train.EnergyOnlyLoss}",
    "~training_module.loss.coeffs",
    "training_module.val_metrics={_target_: equipot.train.EnergyOnlyMetrics}",
    "~training_module.val_metrics.coeffs",
    "data.stats_manager._target_=equipot.data.EnergyOnlyDataStatisticsManager",
    "training_module.model.per_type_energy_scales='${training_data_stats:per_atom_energy_std}'",
]
"""Overrides of that config for a model and labels without forces."""

PLACES = np.array([[0, 0, 0], [0.96, 0, 0], [-0.24, 0.93, 0]])
"""Positions of oxygen and the hydrogens at rest, Å."""


def labelled(atoms, **labels):
    """A copy with these labels and no others."""
    atoms = atoms.copy()
    atoms.calc = SinglePointCalculator(atoms, **labels)
    return atoms


def water_frames(number=20):
    """Distorted water molecules with harmonic bonds: energy in eV, forces in eV/Å."""
    random = np.random.default_rng(0)
    frames = []
    for _ in range(number):
        positions = PLACES + random.normal(0, 0.05, (3, 3))
        bonds = positions[1:] - positions[0]
        lengths = np.linalg.norm(bonds, axis=1)
        pulls = -10 * (lengths - 0.96)[:, None] * bonds / lengths[:, None]
        energy = -10.0 + 5 * ((lengths - 0.96) ** 2).sum()
        frames.append(labelled(Atoms("OH2", positions), energy=energy, forces=np.vstack([-pulls.sum(0), pulls])))
    return frames


def random_labels(number, seed=0, *, spread=0.05, cell=None, **results):
    """Distorted water molecules with made-up energies and forces.

    Args:
        number: How many.
        seed: Of places and labels.
        spread: Standard deviation of the places, Å.
        cell: Edges of a periodic cell, Å.
        results: Labels in place of these.
    """
    random = np.random.default_rng(seed)
    frames = []
    for _ in range(number):
        positions = PLACES + random.normal(scale=spread, size=(3, 3))
        labels = {"energy": -14.0 + random.normal(), "forces": random.normal(size=(3, 3)), **results}
        frames.append(labelled(Atoms("OH2", positions, cell=cell, pbc=cell is not None), **labels))
    return frames


def isolated_atom(symbol, energy):
    """The frame of an atom that is marked as isolated."""
    atoms = labelled(Atoms(symbol), energy=energy)
    atoms.info["config_type"] = "IsolatedAtom"
    return atoms
