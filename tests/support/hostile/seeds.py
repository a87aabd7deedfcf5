"""Valid files from which the hostile ones are made: data, a config, a checkpoint, a package and a compiled file."""

from __future__ import annotations

import functools
import hashlib
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import yaml

CONFIG = """
run: [train, val]
data:
  _target_: equipot.data.ASEDataModule
  seed: 1
  split_dataset: {file_path: data.xyz, train: 8, val: 4}
  train_dataloader: {batch_size: 4}
  val_dataloader: {batch_size: 4}
  stats_manager: {_target_: equipot.data.CommonDataStatisticsManager}
trainer:
  _target_: lightning.Trainer
  accelerator: cpu
  max_epochs: 1
  log_every_n_steps: 1
training_module:
  _target_: equipot.train.EMALightningModule
  ema_decay: 0.9
  loss:
    _target_: equipot.train.EnergyForceStressLoss
    coeffs: {total_energy: 1.0, forces: 1.0, stress: 1.0}
  val_metrics:
    _target_: equipot.train.EnergyForceStressMetrics
    coeffs: {per_atom_energy_mae: 1.0, forces_mae: 1.0, stress_mae: 1.0}
  optimizer: {_target_: torch.optim.Adam, lr: 0.01}
  model:
    _target_: equipot.model.NequIPGNNModel
    seed: 1
    model_dtype: float32
    type_names: [H, O]
    r_max: 3.0
    num_layers: 1
    l_max: 1
    num_features: 4
    radial_mlp_width: 8
    avg_num_neighbors: ${training_data_stats:num_neighbors_mean}
    per_type_energy_shifts: ${training_data_stats:per_atom_energy_mean}
    per_type_energy_scales: ${training_data_stats:forces_rms}
"""
"""A config that trains in a second on ``data.xyz``."""

DATA, YAML, CHECKPOINT, PACKAGE, COMPILED = (
    "data.xyz", "config.yaml", "model.ckpt", "model.equipot.zip", "model.equipot.pt2",
)  # fmt: skip


def frames() -> list[Any]:
    """12 triclinic frames of six atoms, labelled by a pair potential."""
    from ase import Atoms
    from ase.calculators.lj import LennardJones
    from ase.calculators.singlepoint import SinglePointCalculator

    length = 5.5
    cell = np.array([[length, 0, 0], [0.9, length * 1.05, 0], [-0.7, 0.8, length * 0.97]])
    places = [[0.1, 0.1, 0.1], [0.3, 0.2, 0.1], [0.1, 0.35, 0.2], [0.55, 0.6, 0.5], [0.75, 0.65, 0.6], [0.5, 0.8, 0.7]]
    made = []
    for index in range(12):
        atoms = Atoms("OHHOHH", scaled_positions=places, cell=cell, pbc=True)
        atoms.rattle(0.1, seed=index)
        atoms.calc = LennardJones(sigma=1.2, epsilon=0.3, rc=3.0, smooth=True)
        results = {name: atoms.calc.get_property(name, atoms) for name in ("energy", "forces", "stress")}
        atoms.calc = SinglePointCalculator(atoms, **results)
        made.append(atoms)
    return made


class Seeds:
    """Valid files in a folder, each made when it is first needed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def path(self, name: str) -> Path:
        """The path of a seed."""
        found = self.folder / name
        if not found.exists():
            _MAKERS[name](self, found)
        return found

    @functools.lru_cache(maxsize=16)  # noqa: B019 - one object for each session
    def bytes(self, name: str) -> bytes:
        """The contents of a seed."""
        return self.path(name).read_bytes()

    @functools.cached_property
    def frames(self) -> list[Any]:
        """The labelled frames."""
        return frames()

    def statistics(self) -> Path:
        """The entry of the cache of statistics that the training of the valid config left."""
        self.path(CHECKPOINT)
        (entry,) = (self.folder / ".equipot_cache" / "statistics").glob("*.json")
        return entry

    def config(self) -> dict[str, Any]:
        """A copy of the valid config."""
        loaded: dict[str, Any] = yaml.safe_load(CONFIG)
        return loaded

    def command(self, *arguments: str) -> None:
        """Run ``equipot`` in the folder of the seeds."""
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "EQUIPOT_CACHE_DIR": str(self.folder / "cache")}
        code = "import sys; from equipot._cli.main import main; sys.exit(main())"
        made = subprocess.run(
            [sys.executable, "-c", code, *arguments],
            cwd=self.folder,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        if made.returncode:
            raise RuntimeError(f"equipot {' '.join(arguments)}: {made.stdout}{made.stderr}")


def _data(seeds: Seeds, path: Path) -> None:
    from ase.io import write

    write(path, seeds.frames, format="extxyz")


def _config(seeds: Seeds, path: Path) -> None:
    path.write_text(CONFIG)


def _checkpoint(seeds: Seeds, path: Path) -> None:
    seeds.path(DATA), seeds.path(YAML)
    seeds.command("train", YAML, "--output", "run", "--overwrite")
    (seeds.folder / "run" / "last.ckpt").rename(path)


def _package(seeds: Seeds, path: Path) -> None:
    seeds.path(CHECKPOINT)
    seeds.command("package", "build", CHECKPOINT, path.name)


def _compiled(seeds: Seeds, path: Path) -> None:
    seeds.path(PACKAGE)
    seeds.command("compile", PACKAGE, path.name)


_MAKERS = {DATA: _data, YAML: _config, CHECKPOINT: _checkpoint, PACKAGE: _package, COMPILED: _compiled}


def tree_digest() -> str:
    """A digest of the sources of equipot and the seeds, so that seeds of another version are not used."""
    import equipot

    digest = hashlib.sha256()
    root = Path(equipot.__file__).parent
    for path in sorted([*root.rglob("*.py"), Path(__file__)]):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]
