"""Kernels of equipot-kernels under models of other plugins: the conformance kit, and compiled files, which run in a
fresh process and in one that knows nothing of equipot."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from equipot.artifacts import load_compiled, load_model, write_package
from equipot.compile import ExportTarget, compile_model
from equipot.model import AllegroModel, NequIPGNNModel, apply_modifier
from equipot_allegro import TwoBodyBesselScalarEmbed
from equipot_kernels._native.library import native_library
from equipot_kernels._typed.fused import FusedPerTypeLinear
from equipot_testing.conformance import ModelBuilderConformance
from equipot_testing.frames import batch_of, standard_structures

OPTIONS = {
    "l_max": 2,
    "num_layers": 2,
    "num_features": [5, 4, 2],
    "radial_mlp_width": 4,
    "num_bessels": 4,
    "avg_num_neighbors": 9.0,
}

LOAD = """
import json, sys
import torch
from equipot.artifacts import load_compiled
from equipot_testing.frames import batch_of, standard_structures
model = load_compiled(sys.argv[1])
assert "equipot_kernels" in sys.modules
outputs = model(batch_of(standard_structures(2).values(), model.info))
print(json.dumps({key: outputs[key].flatten().tolist() for key in ("total_energy", "forces", "virial")}))
"""


@pytest.fixture(scope="module", autouse=True)
def _kept_kernels(kernel_folder):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EQUIPOT_CACHE_DIR", str(kernel_folder))
        yield


@pytest.mark.slow
class TestNequIPOnKernels(ModelBuilderConformance):
    name = "NequIPGNNModel"
    options = {**OPTIONS, "parity": False}  # noqa: RUF012 - read only
    # Kernels are no part of a stored model: what is made from its file has none, and differs by rounding.
    test_state_dict = None
    test_package = None
    # Below, with splines too.
    test_compile = None

    def model(self, **changes):
        return apply_modifier(super().model(**changes), "enable_FusedKernels").eval()


def nequip(dtype="float32", **options):
    values = {"type_names": ["H", "O"], "r_max": 4.0, "seed": 2, "model_dtype": dtype, "parity": False}
    return NequIPGNNModel(**{**values, **OPTIONS, **options}).build().eval()


@pytest.mark.parametrize("parity", [False, True])
def test_forces_do_not_depend_on_kernels(parity):
    model = nequip("float64", parity=parity, num_features=3, l_max=1)
    fused = apply_modifier(model, "enable_FusedKernels")
    assert sum(isinstance(part, FusedPerTypeLinear) for part in fused.modules()) == OPTIONS["num_layers"] - 1
    batch = batch_of(standard_structures(2).values(), model.info)
    found, expected = fused(batch), model(batch)
    for key in ("total_energy", "forces", "virial", "stress"):
        torch.testing.assert_close(found[key], expected[key], rtol=1e-11, atol=1e-12)


def test_packages_do_not_depend_on_kernels(tmp_path):
    model = nequip("float64", num_features=3, l_max=1)
    write_package(apply_modifier(model, "enable_FusedKernels"), tmp_path / "on.equipot.zip")
    loaded = load_model(tmp_path / "on.equipot.zip")
    assert loaded.modifiers == model.modifiers
    batch = batch_of(standard_structures(2).values(), model.info)
    torch.testing.assert_close(loaded(batch)["forces"], model(batch)["forces"], rtol=1e-11, atol=1e-12)


class WithoutPython(ExportTarget):
    """An engine for which the kernels must be in the file."""

    native = True


def compile_for_engine(model, folder):
    """A model and its compiled file, which holds the code of its kernels."""
    path = folder / "model.equipot.pt2"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("equipot.compile._aotinductor.find_target", lambda _: WithoutPython())
        compile_model(model, path, target="an engine")
    return model, path


@pytest.fixture(scope="module")
def compiled(tmp_path_factory):
    """A model on kernels and splines, and its compiled file."""
    model = apply_modifier(apply_modifier(nequip(), "enable_FusedKernels"), "enable_RadialSplines", {"tolerance": 1e-4})
    return compile_for_engine(model, tmp_path_factory.mktemp("kernels"))


@pytest.fixture(scope="module")
def exact(tmp_path_factory):
    """The same for a strictly local model in float64, without splines."""
    embed = TwoBodyBesselScalarEmbed(num_bessels=4)
    sizes = {"l_max": 1, "num_layers": 2, "num_scalar_features": 4, "num_tensor_features": 3}
    options = {"type_names": ["H", "O"], "r_max": 4.0, "model_dtype": "float64", "avg_num_neighbors": 9.0}
    model = AllegroModel(**options, **sizes, radial_chemical_embed=embed).build().eval()
    return compile_for_engine(apply_modifier(model, "enable_FusedKernels"), tmp_path_factory.mktemp("exact"))


def run_fresh(path, **environment):
    call = [sys.executable, "-W", "ignore", "-c", LOAD, str(path)]
    return subprocess.run(call, capture_output=True, text=True, check=False, env={**os.environ, **environment})


@pytest.mark.slow
def test_compiled_model_finds_its_kernels_in_a_fresh_process(compiled):
    model, path = compiled
    done = run_fresh(path)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    expected = model(batch_of(standard_structures(2).values(), model.info))
    for key, value in found.items():
        torch.testing.assert_close(
            torch.tensor(value, dtype=torch.float64), expected[key].flatten(), rtol=1e-5, atol=1e-5
        )


@pytest.mark.slow
def test_compiled_model_without_the_plugin_says_what_to_install(compiled):
    done = run_fresh(compiled[1], EQUIPOT_PLUGINS="-kernels")
    assert done.returncode != 0
    message = done.stderr.splitlines()[-1]
    assert "it calls kernels of equipot-kernels" in message
    assert "pip install 'equipot-kernels>=" in message


ENGINE = """
import ctypes, sys, torch

job = torch.load(sys.argv[1], weights_only=True)
library = ctypes.CDLL(job["library"])
library.equipot_load_kernels.restype = ctypes.c_char_p
for path in job["files"]:
    wrong = library.equipot_load_kernels(path.encode())
    assert not wrong, wrong
for path, inputs in job["files"].items():
    run = torch._C._aoti.AOTIModelPackageLoader(path, "model", False, 1, -1).run
    for threads in (1, 3):
        torch.set_num_threads(threads)
        job["results"].append([run(frame) for frame in inputs])
assert not [name for name in sys.modules if name.startswith("equipot")]
torch.save(job["results"], sys.argv[1])
"""
"""What an engine does, with torch's loader of compiled files alone."""


@pytest.mark.slow
def test_files_run_where_nothing_of_equipot_is(compiled, exact, kernel_folder, tmp_path):
    """Two files in one process, in either order of threads: the numbers of the compiled model in Python."""
    models = [load_compiled(path) for _, path in (compiled, exact)]
    batches = [
        [batch_of([one], model.info) for one in standard_structures(len(model.info.type_names)).values()]
        for model in models
    ]
    inputs = [
        [[batch[key].contiguous() for key in model.info.inputs] for batch in given]
        for model, given in zip(models, batches, strict=True)
    ]
    files = {str(path): given for (_, path), given in zip((compiled, exact), inputs, strict=True)}
    library = str(native_library(kernel_folder / "native"))
    torch.save({"library": library, "files": files, "results": []}, tmp_path / "job.pt")
    call = [sys.executable, "-c", ENGINE, str(tmp_path / "job.pt")]
    done = subprocess.run(call, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    results = torch.load(tmp_path / "job.pt", weights_only=True)
    for model, given, found, tolerance in zip(models, batches, (results[:2], results[2:]), (1e-5, 1e-12), strict=True):
        for batch, *outputs in zip(given, *found, strict=True):
            expected = model(batch)
            for one in outputs:
                for name, value in zip(expected, one, strict=True):
                    torch.testing.assert_close(value, expected[name], rtol=tolerance, atol=tolerance)


@pytest.mark.slow
def test_a_file_lists_the_code_of_its_kernels(compiled):
    entry = load_compiled(compiled[1]).manifest.compiled["kernels"]["enable_FusedKernels"]
    assert "kernels.txt" in entry["files"]
    assert [name for name in entry["files"] if name.startswith("convolution_table_forward-")]


# ---------------------------------------------------------------------------- dynamics


@pytest.mark.slow
def test_dynamics_on_automatic_kernels_go_on_exactly(tmp_path, monkeypatch, capfd):
    """In two parts, the second in another process, and in one: the same to the last bit, with new neighbour lists."""
    import ase.io
    import numpy as np
    from ase.build import bulk

    from equipot._cli.main import main

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("EQUIPOT_AUTOMATIC_MODIFIERS", "1")
    atoms = bulk("Cu", a=3.61, cubic=True).repeat((2, 2, 1))
    atoms.rattle(0.1, seed=1)
    ase.io.write("cu.extxyz", atoms)
    options = {**OPTIONS, "per_type_energy_scales": 2.0, "model_dtype": "float64", "parity": False}
    model = NequIPGNNModel(**options, type_names=["Cu"], r_max=3.5, seed=1).build()
    write_package(model.eval(), "model.equipot.zip")
    run = ["md", "model.equipot.zip", "cu.extxyz", "--ensemble", "npt", "--cell", "free", "--temperature", "2500"]
    run += ["--timestep", "2", "--log-every", "1", "--every", "5"]
    assert main([*run, "--steps", "24", "--output", "whole"]) == 0
    assert main([*run, "--steps", "13", "--output", "parts"]) == 0
    assert capfd.readouterr().err.count("automatic modifiers: enable_FusedKernels") == 2
    command = [sys.executable, "-m", "equipot._cli.main", *run, "--steps", "24", "--output", "parts", "--resume"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "going on after step 13" in done.stdout
    assert "automatic modifiers: enable_FusedKernels" in done.stderr
    with np.load("whole/state.npz") as whole, np.load("parts/state.npz") as parts:
        assert np.abs(whole["positions"] - atoms.positions).max() > 0.25  # half of the skin: the list was made again
        for name in set(whole.files) - {"record"}:
            assert np.array_equal(whole[name], parts[name]), name
    for name in ("log.csv", "trajectory.extxyz", "final.extxyz"):
        assert Path("whole", name).read_bytes() == Path("parts", name).read_bytes(), name
