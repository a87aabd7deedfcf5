"""Fixtures of the data tests: little labelled files."""

import ase.io
import pytest

from equipot.data import ASEDataModule
from equipot.model import ModelInfo
from equipot_test_support.water import random_labels


@pytest.fixture
def make_info():
    """A model's info: ``make_info("C", "H", r_max=3.0)``."""

    def make(*names, r_max=3.0, **options):
        values = {"chemical_species": names, "cutoffs": None, "model_dtype": "float64", **options}
        return ModelInfo(type_names=names, r_max=r_max, **values)

    return make


@pytest.fixture
def water():
    """Water molecules with random energies and forces: ``water(5)``."""
    return random_labels


@pytest.fixture
def write(tmp_path):
    """Write frames as extxyz and give the path: ``write("a.extxyz", frames)``."""

    def make(name, frames):
        path = tmp_path / name
        ase.io.write(path, frames, format="extxyz")
        return str(path)

    return make


@pytest.fixture
def module(make_info):
    """A datamodule bound to a model of H and O: ``module(split_dataset=...)``."""

    def make(*, info=None, **options):
        one = ASEDataModule(1, **{"cache_dir": None, **options})
        one.bind(info or make_info("O", "H"))
        return one

    return make
