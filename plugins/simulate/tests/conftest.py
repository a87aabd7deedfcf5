"""A model that binds copper, a crystal, and commands in a folder of their own."""

import json
import os
import tempfile

import numpy as np
import pytest
from ase.build import bulk
from ase.io import write


@pytest.fixture(autouse=True)
def _no_figures(request, monkeypatch):
    """Figures take longer than these calculations; tests that ask for ``figures`` have real ones."""
    if "figures" not in request.fixturenames:
        from matplotlib.figure import Figure

        monkeypatch.setattr(Figure, "savefig", lambda figure, path, **options: path.write_bytes(b"\x89PNG"))


@pytest.fixture
def figures():
    """Real figures."""


@pytest.fixture(scope="session")
def copper(tmp_path_factory):
    """A package whose pairs are bound by Morse's potential, in float64."""
    from equipot.artifacts import write_package
    from equipot.model import InvariantModel
    from equipot.pair_potentials import BoundPairs

    options = {"r_max": 5.5, "seed": 3, "model_dtype": "float64", "avg_num_neighbors": 12.0}
    model = InvariantModel(type_names=["Cu", "H"], per_type_energy_scales=1e-6, pair_potential=BoundPairs(), **options)
    path = tmp_path_factory.mktemp("model") / "copper.equipot.zip"
    write_package(model.build().eval(), path)
    return path


class Place:
    """A folder with ``cu.extxyz``, and commands that are run in it."""

    def __init__(self, path, model, capfd):
        self.path, self.model, self._capfd = path, str(model), capfd

    def call(self, command, *arguments, structure="cu.extxyz"):
        """Exit code, standard output and error of a command."""
        from equipot._cli.main import main

        self._capfd.readouterr()
        code = main([command, self.model, structure, *map(str, arguments)])
        out, err = self._capfd.readouterr()
        assert "Traceback" not in err
        return code, out, err

    def ok(self, command, *arguments, folder, structure="cu.extxyz"):
        """Run a command that must succeed; gives what it wrote into ``results.json``."""
        code, _, err = self.call(command, *arguments, "--output", folder, structure=structure)
        assert code == 0, err
        return self.results(folder)

    def results(self, folder):
        return json.loads((self.path / folder / "results.json").read_text(encoding="utf-8"))

    def error(self, command, *arguments, structure="cu.extxyz"):
        """The only line of a command that must fail."""
        code, _, err = self.call(command, *arguments, structure=structure)
        assert code == 2
        (line,) = [line for line in err.splitlines() if line.startswith("error: ")]
        return line.removeprefix("error: ")


@pytest.fixture
def place(tmp_path, monkeypatch, capfd, copper):
    """The folder, made the current one; the crystal in it has four atoms and is rattled."""
    monkeypatch.chdir(tmp_path)
    write("cu.extxyz", crystal())
    return Place(tmp_path, copper, capfd)


def crystal(a=3.71, rattle=0.02, seed=1):
    atoms = bulk("Cu", a=a, cubic=True)
    atoms.rattle(rattle, seed=seed)
    return atoms


@pytest.fixture
def make_crystal():
    """``make_crystal(a=3.71, rattle=0.02, seed=1)``."""
    return crystal


@pytest.fixture
def several(place):
    """``cu.extxyz`` has six frames."""
    write("cu.extxyz", [crystal(a, rattle=0.05, seed=index) for index, a in enumerate(np.linspace(3.6, 3.9, 6))])
    return place


@pytest.fixture
def environment():
    """For programs that tests start."""
    return {**os.environ, "EQUIPOT_AUTOMATIC_MODIFIERS": "0"}


@pytest.fixture(scope="session")
def cluster():
    """The option that names a cluster with one worker of two threads."""
    pytest.importorskip("distributed", reason="needs distributed")
    from distributed import LocalCluster

    with (
        tempfile.TemporaryDirectory() as scratch,
        LocalCluster(
            n_workers=1, threads_per_worker=2, dashboard_address="127.0.0.1:0", local_directory=scratch
        ) as made,
    ):
        yield ["--scheduler", made.scheduler_address]
