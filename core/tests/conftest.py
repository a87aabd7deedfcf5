"""Small stored models for the tests of artifacts, compilation and the calculator."""

import copy
import sys

import pytest
import torch


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory, monkeypatch):
    """No test sees or changes the user's record of compiled files."""
    monkeypatch.setenv("EQUIPOT_CACHE_DIR", str(tmp_path_factory.getbasetemp() / "cache"))


@pytest.fixture
def missing_plugin(monkeypatch):
    """The builder ``CubeModel`` is known to be that of the distribution equipot-cube, which is not installed."""
    from equipot.plugins import PluginHost

    hint = PluginHost.install_hint
    known = {"CubeModel": "pip install equipot-cube"}
    monkeypatch.setattr(PluginHost, "install_hint", lambda host, kind, name: known.get(name) or hint(host, kind, name))


@pytest.fixture
def make_model():
    """A small model of C, H and O with shifts, ZBL and asymmetric cutoffs: ``make_model(model_dtype="float32")``."""

    def make(**options):
        from equipot.model import InvariantModel
        from equipot.pair_potentials import ZBL

        values = {
            "type_names": ["C", "H", "O"],
            "r_max": 4.0,
            "model_dtype": "float64",
            "avg_num_neighbors": 12.0,
            "per_type_energy_shifts": {"C": -1027.6, "H": -13.6, "O": -2041.8},
            "per_type_energy_scales": 1.7,
            "per_edge_type_cutoff": {"H": 3.0, "C": {"H": 3.4}},
            "pair_potential": ZBL(units="metal"),
            **options,
        }
        return InvariantModel(**values).build().eval()

    return make


@pytest.fixture
def package_file(tmp_path, make_model):
    """A package of that model."""
    from equipot.artifacts import write_package

    path = tmp_path / "model.equipot.zip"
    write_package(make_model(), path)
    return path


@pytest.fixture
def make_checkpoint(tmp_path):
    """A checkpoint as training writes it, its averaged weights 1 % larger: ``make_checkpoint(model)``."""

    def make(model, /, *, ema=True, **changes):
        from equipot.artifacts._checkpoint import checkpoint_record

        record = {**checkpoint_record(model, "ema" if ema else "raw", {"run": ["train"]}, {}), **changes}
        state = {f"model.{key}": value.clone() for key, value in model.state_dict().items()}
        if ema:
            averaged = copy.deepcopy(model.energy).requires_grad_(requires_grad=False)
            for parameter in averaged.parameters():
                parameter.mul_(1.01)
            state |= {f"ema.{key}": value.clone() for key, value in model.state_dict().items()}
            state |= {f"ema.energy.{key}": value for key, value in averaged.state_dict().items()}
        path = tmp_path / "model.ckpt"
        torch.save({"epoch": 3, "global_step": 40, "state_dict": state, "equipot": record}, path)
        return path

    return make


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Make a distribution with one plugin importable: ``install(dist, id, source)``."""
    monkeypatch.syspath_prepend(tmp_path)
    made = []

    def make(distribution, plugin_id, source, *, group="equipot.plugins.v1", requires=(), version="1.2.3"):
        module = f"fake_{distribution.replace('-', '_')}_{len(made)}"
        (tmp_path / f"{module}.py").write_text(source, encoding="utf-8")
        folder = tmp_path / f"{distribution.replace('-', '_')}-{version}.dist-info"
        folder.mkdir(exist_ok=True)
        lines = ["Metadata-Version: 2.1", f"Name: {distribution}", f"Version: {version}"]
        lines += [f"Requires-Dist: {line}" for line in requires]
        (folder / "METADATA").write_text("\n".join(lines) + "\n", encoding="utf-8")
        with (folder / "entry_points.txt").open("a", encoding="utf-8") as file:
            file.write(f"[{group}]\n{plugin_id} = {module}\n")
        made.append(module)
        return module

    yield make
    for module in made:
        sys.modules.pop(module, None)


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


def water_frames(number=20, *, forces=True):
    """Distorted water molecules with harmonic bonds: energy in eV, forces in eV/Å."""
    import numpy as np
    from ase import Atoms
    from ase.calculators.singlepoint import SinglePointCalculator

    random = np.random.default_rng(0)
    frames = []
    for _ in range(number):
        positions = np.array([[0, 0, 0], [0.96, 0, 0], [-0.24, 0.93, 0]]) + random.normal(0, 0.05, (3, 3))
        energy, pulls = -10.0, np.zeros((3, 3))
        for hydrogen in (1, 2):
            bond = positions[hydrogen] - positions[0]
            length = np.linalg.norm(bond)
            energy += 5 * (length - 0.96) ** 2
            pulls[hydrogen] -= 10 * (length - 0.96) * bond / length
            pulls[0] += 10 * (length - 0.96) * bond / length
        atoms = Atoms("OH2", positions=positions)
        labels = {"energy": energy, "forces": pulls} if forces else {"energy": energy}
        atoms.calc = SinglePointCalculator(atoms, **labels)
        frames.append(atoms)
    return frames


class RunFolder:
    """A folder with data and a config, and the commands run in it."""

    def __init__(self, path, capfd):
        self.path = path
        self._capfd = capfd

    def write(self, text=CONFIG, name="config.yaml"):
        """Write a config."""
        (self.path / name).write_text(text)

    def call(self, *arguments, command="train"):
        """Exit code, standard output and error of a command on the config, in this process."""
        from equipot._cli.main import main

        self._capfd.readouterr()
        code = main([command, "config.yaml", *arguments])
        output = self._capfd.readouterr()
        return code, output.out, output.err

    def errors(self, *arguments, command="check"):
        """The problems a command reports, without ``error: ``; it must exit with 2."""
        code, _, text = self.call(*arguments, command=command)
        assert code == 2, text
        lines = [line for line in text.splitlines() if line.startswith("error: ")]
        assert lines, text
        assert "Traceback" not in text
        return [line.removeprefix("error: ") for line in lines]


@pytest.fixture
def folder(tmp_path, monkeypatch, capfd):
    """A folder with ``water.extxyz`` and ``config.yaml``, made the current one."""
    from ase.io import write

    path = tmp_path / "a folder"
    path.mkdir()
    write(path / "water.extxyz", water_frames())
    monkeypatch.chdir(path)
    made = RunFolder(path, capfd)
    made.write()
    return made
