"""Files of planted frames, facts that were never read from any, short configs, and trainings without a model."""

import json
import warnings
from pathlib import Path
from types import SimpleNamespace

import ase.io
import lightning
import pytest
import torch
from lightning.pytorch.trainer.states import TrainerFn

from equipot.graph import collate
from equipot.train import EMALightningModule, EnergyForceLoss, EnergyForceMetrics
from equipot_fit import WarmupDecay
from equipot_fit._facts import Facts, Sizes, gather
from equipot_fit._geometry import Surroundings
from equipot_fit._planned import Plan
from equipot_fit._speed import StepTime
from equipot_test_support.configs import short_run
from equipot_test_support.water import random_labels
from equipot_testing.toy import ToyModel

BUDGETED = {
    "max_epochs": -1,
    "check_val_every_n_epoch": None,
    "val_check_interval": 4,
}


@pytest.fixture
def water(tmp_path):
    """Twelve water molecules with made-up labels."""
    ase.io.write(tmp_path / "water.extxyz", random_labels(12, spread=0.1, cell=[5.0, 5.5, 6.0]))
    return tmp_path / "water.extxyz"


@pytest.fixture
def config(water):
    """A config of a toy model that trains by the clock."""
    model = {"_target_": "equipot.model.NequIPGNNModel", "seed": 1, "model_dtype": "float64", "type_names": ["H", "O"]}
    small = {"r_max": 3.0, "num_layers": 1, "l_max": 1, "num_features": 4, "radial_mlp_width": 4, "parity": False}
    made = short_run(str(water), {**model, **small, "avg_num_neighbors": 2.0}, train=6, val=3, test=3)
    made["trainer"] |= {**BUDGETED, "callbacks": [{"_target_": "equipot_fit.TimeBudget", "minutes": 1.0}]}
    scheduler = {"_target_": "equipot_fit.WarmupDecay", "warmup_steps": 3}
    made["training_module"]["lr_scheduler"] = {"scheduler": scheduler, "interval": "step"}
    made["training_module"]["model"]["per_type_energy_shifts"] = 0.0
    return made


@pytest.fixture
def planner(config):
    """Stands for the look at the data."""
    each = StepTime(step=0.01, validation=0.02, start_up=1.0, last_layer=4, frames={"train": 6, "val": 3, "test": 3})
    return lambda options, measured: Plan(config, {"trainer": "a test"}, options.minutes or 1.0, 10, expected=each)


class Clock:
    """A clock that a test moves."""

    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


class Simulated:
    """A training without a model: ``seconds(step)`` for each step, some for a validation; keeps learning rates."""

    def __init__(self, folder, clock, seconds, *, validation=0.0, every=10, progress=True, **schedule):
        parameter = torch.nn.Parameter(torch.zeros(1))
        self.optimizer = torch.optim.SGD([parameter], lr=0.01)
        scheduler = WarmupDecay(self.optimizer, **schedule)
        self.clock, self.seconds, self.validation, self.every = clock, seconds, validation, every
        self.progress, self.rates = progress, []
        self.lr_scheduler_configs = [SimpleNamespace(scheduler=scheduler, interval="step", frequency=1)]
        self.callback_metrics = {}
        self.state = SimpleNamespace(fn=TrainerFn.FITTING)
        self.should_stop, self.is_global_zero, self.world_size = False, True, 1
        self.default_root_dir, self.global_step = str(folder), 0

    def run(self, budget):
        """Train; what ``budget.json`` says then."""
        module = SimpleNamespace(loss=None)
        budget.setup(self, module, "fit")
        budget.on_fit_start(self, module)
        budget.on_train_start(self, module)
        while not self.should_stop:
            self.rates.append(self.optimizer.param_groups[0]["lr"])
            self.clock.now += self.seconds(self.global_step)
            self.global_step += 1
            self.optimizer.step()
            self.lr_scheduler_configs[0].scheduler.step()
            budget.on_train_batch_end(self, module, None, None, 0)
            if self.should_stop or self.global_step % self.every == 0:
                budget.on_validation_start(self, module)
                self.clock.now += self.validation
                self.callback_metrics["val0_epoch/weighted_sum"] = 1.0 / self.global_step if self.progress else 1.0
                budget.on_validation_end(self, module)
        budget.on_train_end(self, module)
        return json.loads((Path(self.default_root_dir) / "budget.json").read_text(encoding="utf-8"))


@pytest.fixture
def simulated(tmp_path, clock):
    """``simulated(seconds, …)`` makes a training without a model."""
    return lambda seconds, **options: Simulated(tmp_path, clock, seconds, **options)


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def frames(water):
    """The frames with neighbours."""
    from equipot.data import ASEDataModule

    data = ASEDataModule(1, train_file_path=str(water), cache_dir=None)
    data.bind(toy().info())
    return [data.dataset()[index] for index in range(12)]


def toy():
    return ToyModel(type_names=["H", "O"], r_max=3.0, model_dtype="float64")


@pytest.fixture
def fit(frames, tmp_path):
    """Train a toy model: ``fit(callbacks, schedule={}, ...)`` gives trainer and module."""

    def run(callbacks, *, schedule=None, rate=0.01, **options):
        def scheduler(optimizer):
            return WarmupDecay(optimizer, **(schedule or {}))

        module = EMALightningModule(
            toy(),
            EnergyForceLoss(),
            val_metrics=EnergyForceMetrics({"per_atom_energy_mae": 1.0, "forces_mae": 1.0}),
            optimizer=lambda params: torch.optim.SGD(params, lr=rate),
            lr_scheduler={"scheduler": scheduler, "interval": "step"},
        )
        batches = [collate(frames[start : start + 3]) for start in range(0, len(frames), 3)]
        loader = torch.utils.data.DataLoader(batches, batch_size=None)
        quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False, "accelerator": "cpu"}
        more = {"enable_model_summary": False, "num_sanity_val_steps": 0, "inference_mode": False}
        settings = BUDGETED | quiet | more | {"default_root_dir": str(tmp_path)} | options
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            trainer = lightning.Trainer(**settings, callbacks=callbacks)
            trainer.fit(module, loader, [loader])
        return trainer, module

    return run


@pytest.fixture
def write(tmp_path, monkeypatch):
    """Write frames to a file in an empty folder, which is the current one; its name."""
    monkeypatch.chdir(tmp_path)

    def make(name, frames):
        ase.io.write(name, frames)
        return name

    return make


@pytest.fixture
def facts_of(write):
    """Facts of frames, by way of a file."""

    def make(frames, *, name="frames.extxyz", **given):
        return gather([write(name, frames)], **given)

    return make


@pytest.fixture
def facts():
    """Facts of 1000 molecules of 20 atoms with energies and forces; anything may be given instead."""

    def make(**given):
        values = {
            "files": ("frames.extxyz",),
            "n_frames": 1000,
            "n_atoms": Sizes(20, 20.0, 20),
            "elements": {"C": 8000, "H": 12000},
            "periodic": "none",
            "labels": {"total_energy": 1000, "forces": 1000},
            "energy_spread": 0.02,
            "forces_rms": 1.0,
            "energies_rule": "mean",
            "compositions": 1,
            "surroundings": Surroundings({4.0: 10.0, 4.5: 12.0, 5.0: 14.0, 5.5: 16.0, 6.0: 17.0}, 1.2, 0.8),
        }
        return Facts(**{**values, **given})

    return make
