"""Small labelled frames and a training loop for them."""

import warnings

import lightning
import numpy as np
import pytest
import torch
from ase.io import write

from equipot.data import ASEDataModule
from equipot.graph import collate
from equipot_test_support.water import random_labels
from equipot_testing.toy import ToyModel


def recipe():
    return ToyModel(type_names=["H", "O"], r_max=3.0, model_dtype="float64")


@pytest.fixture
def make_recipe():
    """The toy model's recipe."""
    return recipe


@pytest.fixture
def water(tmp_path):
    """A file of twelve water molecules in cells, with made-up labels; every other one has a stress."""
    frames = random_labels(12, spread=0.1, cell=[5.0, 5.5, 6.0])
    random = np.random.default_rng(1)
    for atoms in frames[1::2]:
        atoms.calc.results["stress"] = random.normal(size=6)
    write(tmp_path / "water.extxyz", frames)
    return tmp_path / "water.extxyz"


@pytest.fixture
def frames(water):
    """The frames with neighbours."""
    data = ASEDataModule(1, train_file_path=str(water), cache_dir=None)
    data.bind(recipe().info())
    return [data.dataset()[index] for index in range(12)]


@pytest.fixture
def fit(frames):
    """Train a module on the frames, three in a batch: ``fit(module, callbacks, max_epochs=2)``."""

    def run(module, callbacks=(), *, stage="fit", **options):
        batches = [collate(frames[start : start + 3]) for start in range(0, len(frames), 3)]
        settings = {"max_epochs": 2, "logger": False, "enable_checkpointing": False, "accelerator": "cpu"}
        quiet = {"enable_progress_bar": False, "enable_model_summary": False, "num_sanity_val_steps": 0}
        trainer = lightning.Trainer(**settings | quiet | options, inference_mode=False, callbacks=list(callbacks))
        loader = torch.utils.data.DataLoader(batches, batch_size=None)
        with warnings.catch_warnings():
            for note in (".*Skipping val loop.*", ".*does not have many workers.*", ".*logging interval.*"):
                warnings.filterwarnings("ignore", note)
            if stage == "fit":
                trainer.fit(module, loader, [loader] if module.val_metrics is not None else None)
            else:
                trainer.test(module, [loader, loader], verbose=False)
        return trainer

    return run


@pytest.fixture
def batches(frames):
    """What ``fit`` trains on."""
    return [collate(frames[start : start + 3]) for start in range(0, len(frames), 3)]
