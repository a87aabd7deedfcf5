"""Train nequip, in its own venv, on the split of ``accuracy.py`` for the same wall time.

Same hyperparameters as ``configs/rmd17.yaml``: architecture, loss, optimiser, EMA and batch size.
"""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

_CONFIG = """
run: [train, test]
data:
  _target_: nequip.data.datamodule.ASEDataModule
  seed: 1
  train_file_path: {work}/train.extxyz
  val_file_path: {work}/val.extxyz
  test_file_path: {work}/test.extxyz
  transforms:
    - {{_target_: nequip.data.transforms.ChemicalSpeciesToAtomTypeMapper, model_type_names: [C, H, O]}}
    - {{_target_: nequip.data.transforms.NeighborListTransform, r_max: 4.0}}
  train_dataloader: {{_target_: torch.utils.data.DataLoader, batch_size: 5, shuffle: true}}
  val_dataloader: {{_target_: torch.utils.data.DataLoader, batch_size: 50}}
  test_dataloader: {{_target_: torch.utils.data.DataLoader, batch_size: 50}}
  stats_manager:
    _target_: nequip.data.CommonDataStatisticsManager
    type_names: [C, H, O]
    dataloader_kwargs: {{batch_size: 10}}
trainer:
  _target_: lightning.Trainer
  accelerator: cpu
  max_epochs: 100000
  max_time: '{max_time}'
  check_val_every_n_epoch: 1
  enable_progress_bar: false
  logger: {{_target_: lightning.pytorch.loggers.CSVLogger, save_dir: '{work}/peer_logs'}}
  callbacks:
    - _target_: lightning.pytorch.callbacks.ModelCheckpoint
      monitor: val0_epoch/weighted_sum
      dirpath: '{work}/peer'
      filename: best
      save_last: true
training_module:
  _target_: nequip.train.EMALightningModule
  ema_decay: 0.99
  loss: {{_target_: nequip.train.EnergyForceLoss, per_atom_energy: true, coeffs: {{total_energy: 1.0, forces: 1.0}}}}
  val_metrics: {{_target_: nequip.train.EnergyForceMetrics, coeffs: {{per_atom_energy_mae: 1.0, forces_mae: 1.0}}}}
  test_metrics: {{_target_: nequip.train.EnergyForceMetrics, coeffs: {{per_atom_energy_mae: 1.0, forces_mae: 1.0}}}}
  optimizer: {{_target_: torch.optim.Adam, lr: 0.01}}
  lr_scheduler:
    scheduler: {{_target_: torch.optim.lr_scheduler.ReduceLROnPlateau, factor: 0.5, patience: 10}}
    monitor: val0_epoch/weighted_sum
    interval: epoch
    frequency: 1
  model:
    _target_: nequip.model.NequIPGNNModel
    seed: {seed}
    model_dtype: float32
    type_names: [C, H, O]
    r_max: 4.0
    num_layers: 4
    l_max: 2
    parity: false
    num_features: 32
    radial_mlp_width: 64
    avg_num_neighbors: ${{training_data_stats:num_neighbors_mean}}
    per_type_energy_shifts: ${{training_data_stats:per_atom_energy_mean}}
    per_type_energy_scales: ${{training_data_stats:forces_rms}}
"""


def run(python: str, work: Path, minutes: float, seed: int) -> dict[str, Any]:
    """Train and test the peer.

    Args:
        python: Interpreter of a venv with nequip.
        work: Folder with ``train.extxyz``, ``val.extxyz`` and ``test.extxyz``.
        minutes: Wall time of the training.
        seed: Of the weights.

    Returns:
        Test errors under the names of ``equipot eval``.
    """
    seconds = round(minutes * 60)
    max_time = f"00:{seconds // 3600:02d}:{seconds % 3600 // 60:02d}:{seconds % 60:02d}"
    (work / "peer.yaml").write_text(_CONFIG.format(work=work, max_time=max_time, seed=seed), encoding="utf-8")
    script = str(Path(python).with_name("nequip-train"))
    subprocess.run(
        [script, "-cp", str(work), "-cn", "peer", f"hydra.run.dir={work / 'peer_run'}"], cwd=work, check=True
    )
    rows = max(work.glob("peer_logs/**/metrics.csv")).read_text(encoding="utf-8").splitlines()
    names = rows[0].split(",")
    values: dict[str, float] = {}
    for row in rows[1:]:
        values.update({name: float(value) for name, value in zip(names, row.split(","), strict=True) if value})
    return {
        "per_atom_energy_mae_mev": 1000 * values["test0_epoch/per_atom_energy_mae"],
        "forces_mae_mev_per_angstrom": 1000 * values["test0_epoch/forces_mae"],
    }
