"""Kernels of equipot-kernels under models of other plugins: the conformance kit, compiled files, a fresh process."""

import json
import os
import subprocess
import sys

import pytest
import torch

from equipot.artifacts import load_model, write_package
from equipot.compile import compile_model
from equipot.model import NequIPGNNModel, apply_modifier
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


@pytest.fixture(scope="module")
def compiled(tmp_path_factory):
    """A model on kernels and splines, and its compiled file."""
    path = tmp_path_factory.mktemp("kernels") / "model.equipot.pt2"
    model = apply_modifier(apply_modifier(nequip(), "enable_FusedKernels"), "enable_RadialSplines", {"tolerance": 1e-4})
    compile_model(model, path)
    return model, path


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
