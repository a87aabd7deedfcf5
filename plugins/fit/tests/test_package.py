"""The package at the end of a training."""

import ase.io
import numpy as np
import pytest
import torch
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator

from equipot.data import ASEDataModule
from equipot_fit import _package as package
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


def test_shifts_of_isolated_atoms_are_known(data):
    assert package.isolated_types(*data) == {"H"}


def test_batches_have_a_limited_number_of_atoms(data, monkeypatch):
    monkeypatch.setattr(package, "MOST_ATOMS", 6)
    found = list(package.batches(data[0], range(4), torch.device("cpu")))
    assert [one["num_atoms"].tolist() for one in found] == [[3, 3], [3, 1]]
    monkeypatch.setattr(package, "MOST_ATOMS", 1)
    assert [one["num_atoms"].tolist() for one in package.batches(data[0], [0, 3], torch.device("cpu"))] == [[3], [1]]
    assert list(package.batches(data[0], [], torch.device("cpu"))) == []
