"""The package at the end of a training."""

import math
from types import SimpleNamespace

import ase.io
import numpy as np
import pytest
import torch
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator

from equipot.data import ASEDataModule
from equipot_fit import WarmupDecay
from equipot_fit import _package as package
from equipot_fit.callbacks import has_declined
from equipot_test_support.water import random_labels
from equipot_testing.toy import ToyModel


@pytest.fixture
def data(tmp_path):
    """Three water molecules and a hydrogen atom."""
    atom = Atoms("H", positions=[[0.0, 0.0, 0.0]])
    atom.calc = SinglePointCalculator(atom, energy=-13.0, forces=np.zeros((1, 3)))
    ase.io.write(tmp_path / "frames.extxyz", [*random_labels(3, spread=0.1), atom])
    recipe = ToyModel(type_names=["H", "O"], r_max=3.0, model_dtype="float64")
    made = ASEDataModule(1, train_file_path=str(tmp_path / "frames.extxyz"), cache_dir=None)
    made.bind(recipe.info())
    return made.dataset("train"), recipe.build()


@pytest.mark.parametrize(
    ("smallest", "latest", "declined", "expected"),
    [
        (1.00, 1.09, True, 4),  # 20 % / 2 for four frames
        (1.00, 1.11, True, 0),
        (1.00, 1.00, True, 0),  # the last weights are the best ones
        (1.00, 1.09, False, 0),
        (math.inf, math.inf, True, 0),
    ],
)
def test_last_weights_are_taken_where_best_ones_may_be_luck(
    tmp_path, monkeypatch, smallest, latest, declined, expected
):
    file = tmp_path / "frames.extxyz"
    ase.io.write(file, random_labels(4, spread=0.1))
    validated = ASEDataModule(1, train_file_path=str(file), val_file_path=str(file), cache_dir=None)
    validated.bind(ToyModel(type_names=["H", "O"], r_max=3.0).info())
    monkeypatch.setattr(package, "has_declined", lambda trainer: declined)
    metrics = {"val0_epoch/weighted_sum": torch.tensor(latest, dtype=torch.float64)}
    checkpoints = [SimpleNamespace(best={"score": smallest}), SimpleNamespace(best={}), SimpleNamespace()]
    trainer = SimpleNamespace(
        checkpoint_callbacks=checkpoints, callback_metrics=metrics, datamodule=validated, default_root_dir=str(tmp_path)
    )
    assert package._objectives(trainer) == (smallest, latest)
    assert package._luck_frames(trainer, smallest, latest) == 0, "there is no last checkpoint"
    (tmp_path / "last.ckpt").touch()
    assert package._luck_frames(trainer, smallest, latest) == expected
    trainer.datamodule = None
    assert package._luck_frames(trainer, smallest, latest) == 0


@pytest.mark.parametrize(
    ("steps", "decays", "expected"), [(9, [[5, 10]], False), (10, [[5, 10]], True), (9, [], False)]
)
def test_a_learning_rate_has_declined_at_the_end_of_its_decay(steps, decays, expected):
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    scheduler = WarmupDecay(optimizer, warmup_steps=2, decays=decays)
    config = SimpleNamespace(scheduler=scheduler, interval="step", frequency=1)
    assert has_declined(SimpleNamespace(lr_scheduler_configs=[config], global_step=steps)) is expected
    config.interval = "epoch"
    assert not has_declined(SimpleNamespace(lr_scheduler_configs=[config], global_step=steps))


def test_shifts_of_isolated_atoms_are_known(data):
    assert package.isolated_types(*data) == {"H"}


def test_batches_have_a_limited_number_of_atoms(data, monkeypatch):
    monkeypatch.setattr(package, "MOST_ATOMS", 6)
    found = list(package.batches(data[0], range(4), torch.device("cpu")))
    assert [one["num_atoms"].tolist() for one in found] == [[3, 3], [3, 1]]
    monkeypatch.setattr(package, "MOST_ATOMS", 1)
    assert [one["num_atoms"].tolist() for one in package.batches(data[0], [0, 3], torch.device("cpu"))] == [[3], [1]]
    assert list(package.batches(data[0], [], torch.device("cpu"))) == []
