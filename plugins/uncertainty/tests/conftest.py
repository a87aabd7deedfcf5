"""A small model with forces, and frames that are labelled by it and by noise."""

import numpy as np
import pytest
from ase.build import molecule
from ase.calculators.singlepoint import SinglePointCalculator

from equipot._cli.main import main
from equipot.data import FrameDataset, frame_from_atoms
from equipot.data.options import DataOptions
from equipot.data.transforms import default_transforms
from equipot.model import NequIPGNNModel

OPTIONS = {
    "type_names": ["H", "O"],
    "r_max": 3.0,
    "model_dtype": "float64",
    "avg_num_neighbors": 2.0,
    "per_type_energy_scales": {"H": 0.7, "O": 1.3},
    "per_type_energy_shifts": {"H": -1.0, "O": -2.0},
    "num_layers": 2,
    "l_max": 1,
    "parity": False,
    "num_features": 4,
    "radial_mlp_width": 4,
}


def _made(**options):
    """The model."""
    return NequIPGNNModel(**{**OPTIONS, **options}).build().eval()


def _water(count, seed, spread=0.08):
    """Distorted molecules."""
    rng = np.random.default_rng(seed)
    frames = []
    for index in range(count):
        atoms = molecule(("H2O", "H2O2", "OH")[index % 3])
        atoms.set_initial_magnetic_moments(None)
        atoms.positions += rng.normal(scale=spread, size=atoms.positions.shape)
        frames.append(atoms)
    return frames


def _labelled(model, count, seed, noise=0.02, spread=0.08):
    """Frames with labels of ASE: those of the model with noise."""
    rng = np.random.default_rng(1000 + seed)
    frames = _water(count, seed, spread)
    for atoms, batch in zip(frames, _dataset(model, frames), strict=True):
        outputs = model(batch)
        energy = float(outputs["total_energy"][0]) + noise * rng.normal()
        forces = outputs["forces"].numpy() + noise * rng.normal(size=(len(atoms), 3))
        atoms.calc = SinglePointCalculator(atoms, energy=energy, forces=forces)
    return frames


def _dataset(model, frames):
    """The frames with types and edges, and with the labels that they have."""
    contract = DataOptions(1).contract()
    made = [frame_from_atoms(atoms, contract, "here")[0] for atoms in frames]
    return FrameDataset(made, transforms=default_transforms(model.info))


@pytest.fixture(scope="session")
def model():
    """The model; tests do not change it."""
    return _made()


@pytest.fixture(scope="session")
def sets(model):
    """Labelled training, validation and test set."""
    return {
        name: _dataset(model, _labelled(model, count, seed))
        for seed, (name, count) in enumerate((("train", 30), ("val", 60), ("test", 60)))
    }


@pytest.fixture(scope="session")
def make_model():
    """The model with other options."""
    return _made


@pytest.fixture(scope="session")
def water():
    """Makes distorted molecules."""
    return _water


@pytest.fixture(scope="session")
def labelled():
    """Makes labelled frames."""
    return _labelled


@pytest.fixture
def equipot(capsys):
    """Runs a command; its exit code and what it printed."""

    def run(*words):
        code = main(list(words))
        return code, *capsys.readouterr()

    return run
