"""Fixtures of the data tests: little labelled files and the folder of other people's data."""

import os
from pathlib import Path

import ase.io
import numpy as np
import pytest
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator

from equipot.model._context import ModelInfo


@pytest.fixture
def extra_data():
    """Folder of public data that is not part of the project."""
    folder = os.environ.get("EQUIPOT_EXTRA_DATA", "")
    if not folder or not Path(folder).is_dir():
        pytest.skip("needs EQUIPOT_EXTRA_DATA")
    return Path(folder)


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

    def make(count, seed=0, **results):
        rng = np.random.default_rng(seed)
        frames = []
        for _ in range(count):
            positions = np.array([[0.0, 0, 0], [0.96, 0, 0], [-0.24, 0.93, 0]]) + rng.normal(scale=0.05, size=(3, 3))
            atoms = Atoms("OH2", positions=positions)
            labels = {"energy": -14.0 + rng.normal(), "forces": rng.normal(size=(3, 3)), **results}
            atoms.calc = SinglePointCalculator(atoms, **labels)
            frames.append(atoms)
        return frames

    return make


@pytest.fixture
def write(tmp_path):
    """Write frames as extxyz and give the path: ``write("a.extxyz", frames)``."""

    def make(name, frames):
        path = tmp_path / name
        ase.io.write(path, frames, format="extxyz")
        return str(path)

    return make
