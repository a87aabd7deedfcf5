"""Fixtures that tests of more than one folder ask for; torch is imported when one is used."""

import copy
import logging
import os
import sys
from pathlib import Path

import pytest

from equipot_test_support.distributions import write_distribution


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory):
    """No test sees or changes the user's caches and record of compiled files."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EQUIPOT_CACHE_DIR", str(tmp_path_factory.getbasetemp() / "cache"))
        yield


@pytest.fixture(scope="session", autouse=True)
def _no_debugger():
    """Hydra takes coverage for a debugger, and then lets errors pass that it would report."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("hydra._internal.utils.is_under_debugger", lambda: False)
        yield


@pytest.fixture(autouse=True)
def _own_logging():
    """Commands that run in the process of the tests give equipot's loggers a handler, which would hide records."""
    root = logging.getLogger("equipot")
    before = root.handlers[:], root.propagate
    yield
    root.handlers[:], root.propagate = before


@pytest.fixture
def extra_data():
    """Folder of public data that is not part of the project."""
    folder = os.environ.get("EQUIPOT_EXTRA_DATA", "")
    if not folder or not Path(folder).is_dir():
        pytest.skip("needs EQUIPOT_EXTRA_DATA")
    return Path(folder)


@pytest.fixture
def float64_by_default():
    """e3nn makes its constants in the default dtype."""
    import torch

    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(before)


# ------------------------------------------------------------------------ plugins


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Make a distribution with one plugin importable: ``install(dist, id, source)``; gives the module's name."""
    monkeypatch.syspath_prepend(tmp_path)
    made = []

    def make(distribution, plugin_id, source, **metadata):
        made.append(f"fake_{distribution.replace('-', '_')}_{len(made)}")
        write_distribution(tmp_path, distribution, plugin_id, source, made[-1], **metadata)
        return made[-1]

    yield make
    for module in made:
        sys.modules.pop(module, None)


OWN_LABELS = """
from equipot import hookimpl
from equipot.declarations import FieldEntry

@hookimpl
def equipot_fields():
    yield FieldEntry(
        key="dipole", per="frame", shape=("n_frames", 3), unit="e Å", irreps="1o", meaning="dipole moment",
        label=True, ase_property="dipole", extensive=True,
    )
    yield FieldEntry(
        key="charges", per="atom", shape=("n_atoms",), unit="e", irreps="0e", meaning="partial charges",
        label=True, ase_property="charges",
    )
    yield FieldEntry(
        key="polarizability", per="frame", shape=("n_frames", 3, 3), unit="Å³", irreps="0e + 2e",
        meaning="polarizability volume", label=True, extensive=True,
    )
    yield FieldEntry(
        key="shielding", per="atom", shape=("n_atoms", 3, 3), unit="ppm", irreps="0e + 1e + 2e",
        meaning="shielding of the nuclei", label=True,
    )
    yield FieldEntry(
        key="work_function", per="frame", shape=("n_frames",), unit="eV/e", irreps="0e", meaning="work function",
        label=True,
    )
"""


@pytest.fixture
def own_labels(install, fresh_plugins):
    """A plugin is installed that declares labels: dipole, charges, polarizability, shielding and work_function."""
    install("equipot-own-labels", "own_labels", OWN_LABELS)


@pytest.fixture
def heads_plugin(install, fresh_plugins):
    """A plugin with fields, and with modifiers that add heads, see ``equipot_test_support.heads``."""
    from equipot_test_support.heads import PLUGIN

    install("equipot-heads", "heads", PLUGIN)


@pytest.fixture
def missing_plugin(monkeypatch):
    """The builder ``CubeModel`` is known to be that of the distribution equipot-cube, which is not installed."""
    from equipot.plugins import PluginHost

    hint = PluginHost.install_hint
    known = {"CubeModel": "pip install equipot-cube"}
    monkeypatch.setattr(PluginHost, "install_hint", lambda host, kind, name: known.get(name) or hint(host, kind, name))


# ------------------------------------------------------------------------ models and their files


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
        import torch

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


# ------------------------------------------------------------------------ runs


@pytest.fixture
def folder(tmp_path, monkeypatch, capfd):
    """A folder with ``water.extxyz`` and ``config.yaml``, made the current one."""
    from ase.io import write

    from equipot_test_support.folders import RunFolder
    from equipot_test_support.water import water_frames

    path = tmp_path / "a folder"
    path.mkdir()
    write(path / "water.extxyz", water_frames())
    monkeypatch.chdir(path)
    made = RunFolder(path, capfd)
    made.write()
    return made


@pytest.fixture
def command_line(capsys, monkeypatch, tmp_path):
    """Run ``equipot …`` in the test's folder: ``command_line("eval", ...)`` gives exit code, stdout and stderr."""
    from equipot._cli.main import main

    monkeypatch.chdir(tmp_path)

    def run(*words):
        code = main([str(word) for word in words])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


@pytest.fixture(scope="module")
def energy_package(energy_checkpoint):
    """A module's ``energy_checkpoint``, which is trained on energies alone, as a package in the current folder."""
    from equipot_test_support.roads import packaged

    return packaged(energy_checkpoint, "energy_only")


@pytest.fixture(scope="session")
def kernel_folder(pytestconfig, tmp_path_factory):
    """Where kernels of the tests are kept: pytest's own cache, unless it is switched off."""
    kept = getattr(pytestconfig, "cache", None)
    return tmp_path_factory.mktemp("kernels") if kept is None else kept.mkdir("equipot_kernels")
