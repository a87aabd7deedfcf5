"""The kernels that the wheel of equipot-kernels brings: how they are made, and a training without a compiler."""

from __future__ import annotations

import json
import math
import os
import platform
import subprocess
import sys
from types import SimpleNamespace

import pytest
import torch
import yaml

from equipot.model import PresetNequIPGNNModel
from equipot_kernels._build import cache, prebuilt, registry
from equipot_test_support.commands import clean_environment
from equipot_test_support.configs import short_run
from equipot_test_support.folders import write_data
from equipot_test_support.scripts import load_script

tool = load_script("tools/prebuild_kernels.py")
LEVELS = [
    pytest.param(level, marks=pytest.mark.skipif(not tool.compiler(level), reason=f"no compiler for {level}"))
    for level in tool.PREFIX
]
SOURCE = """
extern "C" void scaled(__INT64_TYPE__ n, const float* a, float* out, __INT64_TYPE__ threads) {
  #pragma omp parallel for num_threads(int(threads))
  for (__INT64_TYPE__ i = 0; i < n; i++) out[i] = 2 * a[i] + 1;
}
"""
CALLS = 'extern "C" int puts(const char*); extern "C" void said() { puts("said"); }'


class Units:
    """A library with functions of any name."""

    def __getattr__(self, name):
        return SimpleNamespace()


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    monkeypatch.setattr(prebuilt, "FOLDER", tmp_path / "prebuilt")


def test_the_levels_are_those_that_are_looked_for():
    assert list(tool.PREFIX) == list(tool.FLAGS) == list(tool.WIDE) == list(prebuilt.LEVELS)


@pytest.mark.parametrize("level", LEVELS)
def test_equal_sources_give_equal_files_that_pass_the_check(level):
    (path,) = tool.build(level, {"scaled-key": SOURCE})
    first = path.read_bytes()
    tool.check(level, [path])
    (again,) = tool.build(level, {"scaled-key": SOURCE})
    assert again.read_bytes() == first


@pytest.mark.parametrize("level", LEVELS)
def test_what_calls_other_functions_is_refused(level):
    files = tool.build(level, {"said-key": CALLS})
    with pytest.raises(SystemExit, match="calls puts"):
        tool.check(level, files)


@pytest.mark.parametrize("level", LEVELS)
def test_code_without_wide_registers_is_refused(level):
    files = tool.build(level, {"one-key": 'extern "C" long one() { return 1; }'})
    with pytest.raises(SystemExit, match=f"{level}: only 0 of 1 files use"):
        tool.check(level, files)


def test_kernels_of_a_preset_are_found_whatever_its_types(monkeypatch):
    monkeypatch.setattr(registry, "_functions", {})
    wanted = dict(tool.sources(["S"]))
    model = PresetNequIPGNNModel(preset="S", type_names=["C", "H", "O"], r_max=5.0, avg_num_neighbors=20.0).build()
    handles = {registry.handle_of(spec) for spec in tool.specs_of(model.energy, torch.float32)}
    asked: list[str] = []
    monkeypatch.setattr(cache, "load", lambda source, name: asked.append(f"{name}-{cache.key_of(source)}") or Units())
    for handle in handles:
        for unit in registry.family_of(registry.spec_of(handle)).UNITS:
            registry.function(handle, unit)
    assert len(asked) > 30
    assert set(asked) <= set(wanted)


# ---------------------------------------------------------------- the wheel

MODEL = {
    "_target_": "equipot.model.modify",
    "model": {
        "_target_": "equipot.model.PresetNequIPGNNModel",
        "preset": "S",
        "type_names": ["C", "H", "O"],
        "r_max": 4.0,
        "avg_num_neighbors": "${training_data_stats:num_neighbors_mean}",
    },
    "modifiers": [{"modifier": "enable_FusedKernels"}],
}


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """``bin`` of an environment with wheels of the last commit, that of kernels with those of the smallest presets."""
    release = load_script("tools/release.py")
    base = tmp_path_factory.mktemp("prebuilt")
    tree, out = base / "tree", base / "dist"
    tree.mkdir()
    release.checkout(tree)
    native = [level for level in tool.PREFIX if prebuilt.LEVELS[level][0] == platform.machine()]
    script = tree / "tools" / "prebuild_kernels.py"
    subprocess.run([sys.executable, str(script), "--presets", "S", "--levels", *native], check=True)
    release.build_wheels(tree, out)
    (base / "installed").mkdir()
    return clean_environment(base / "installed", out, "equipot[standard]", "equipot-kernels")


@pytest.mark.slow
@pytest.mark.skipif(not prebuilt.supported(), reason="no prebuilt kernels for this processor")
def test_the_wheel_trains_on_kernels_without_a_compiler(installed, tmp_path):
    write_data(tmp_path, "ethanol_pbe.extxyz", 12, new="frames.extxyz")
    config = short_run("frames.extxyz", MODEL, batch_size=4, train=8, val=2, test=2)
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    kept = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "CXX")}
    alone = {**kept, "PATH": str(tmp_path / "nothing"), "EQUIPOT_CACHE_DIR": str(tmp_path / "cache")}

    def run(*words):
        done = subprocess.run(
            list(map(str, words)), cwd=tmp_path, env=alone, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr

    text = run(installed / "equipot-train", "config.yaml", "--output", "run")
    assert "stays without kernels" not in text
    results = json.loads((tmp_path / "run/results.json").read_text(encoding="utf-8"))
    assert 0 < results["test"]["test0_epoch/forces_mae"] < math.inf
    told = run(installed / "equipot", "kernels", "run/best.ckpt")
    assert "compiler: none" in told
    level = prebuilt.supported()[0]
    (line,) = [line for line in told.splitlines() if line.startswith("run/best.ckpt: ")]
    assert line.endswith(f" {level}")
    assert not list((tmp_path / "cache").rglob("*.so"))
