"""A small model with forces, trained for no time, and its package."""

import pytest

from equipot._cli.main import main
from equipot.artifacts import write_package
from equipot.model import NequIPGNNModel

SMALL = {
    "type_names": ["H", "C", "O"],
    "r_max": 3.5,
    "avg_num_neighbors": 8.0,
    "num_layers": 2,
    "l_max": 1,
    "parity": False,
    "num_features": 8,
    "radial_mlp_width": 8,
    "per_type_energy_shifts": {"H": -13.6, "C": -1029.0, "O": -2042.0},
}


@pytest.fixture(scope="session")
def make_model():
    """Makes the model, with other options."""
    return lambda **options: NequIPGNNModel(**{**SMALL, **options}).build()


@pytest.fixture(scope="session")
def package(tmp_path_factory, make_model):
    """The package of the model."""
    path = tmp_path_factory.mktemp("base") / "base.equipot.zip"
    write_package(make_model(), path)
    return str(path)


@pytest.fixture
def equipot(capsys):
    """Runs a command; its exit code and what it printed."""

    def run(*words):
        code = main(list(words))
        return code, *capsys.readouterr()

    return run
