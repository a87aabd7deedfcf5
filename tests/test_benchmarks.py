"""The benchmark suite runs without a peer, and compares nothing that does not agree."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

SPEED = Path(__file__).parents[1] / "benchmarks" / "speed"


def suite(name, monkeypatch):
    monkeypatch.syspath_prepend(str(SPEED))
    spec = importlib.util.spec_from_file_location(name, SPEED / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, name, module)
    spec.loader.exec_module(module)
    return module


def test_water_has_the_density_of_water_and_no_contacts(monkeypatch):
    from ase.geometry import get_distances

    systems = suite("systems", monkeypatch)
    atoms = systems.water((4, 4, 5))
    assert atoms.get_masses().sum() / atoms.get_volume() * 1.66054 == pytest.approx(1.0, abs=0.01)
    distances = get_distances(atoms.positions, cell=atoms.cell, pbc=True)[1]
    assert distances[np.triu_indices(len(atoms), 1)].min() > 0.8
    assert np.array_equal(systems.water((4, 4, 5)).positions, atoms.positions)
    assert all(3 * np.prod(systems.lattice(n)) == pytest.approx(n, rel=0.1) for n in (192, 1536, 12_000, 100_000))


def test_models_that_differ_are_not_timed(monkeypatch, tmp_path):
    compare = suite("compare", monkeypatch)
    case = compare.Case("one", "nequip")

    class Answers:
        def __init__(self, shift):
            self.shift = shift

        def ask(self, do, mode, path):
            assert do == "outputs"
            np.savez(path, forces=np.ones((4, 3)) + self.shift, total_energy=np.zeros(1))

    modes = [("nequip", "eager"), ("equipot", "fused"), ("equipot", "core-train")]
    same = {"nequip": Answers(0.0), "equipot": Answers(1e-6)}
    assert compare._agreement(case, same, modes, tmp_path)["equipot/fused"]["forces"] == pytest.approx(1e-6)
    with pytest.raises(SystemExit, match="one, equipot/fused: forces differ by 0.001"):
        compare._agreement(case, {"nequip": Answers(0.0), "equipot": Answers(1e-3)}, modes, tmp_path)


def test_ratios_are_taken_round_by_round(monkeypatch):
    compare = suite("compare", monkeypatch)
    times = {
        "nequip/aoti": [{"cpu": 30.0, "wall": 30.0}, {"cpu": 60.0, "wall": 60.0}, {"cpu": 30.0, "wall": 30.0}],
        "equipot/fused": [{"cpu": 10.0, "wall": 5.0}, {"cpu": 20.0, "wall": 60.0}, {"cpu": 5.0, "wall": 6.0}],
    }
    ratios = compare._ratios(times)
    assert ratios == {
        "fused": {"cpu": {"median": 3.0, "min": 3.0, "max": 6.0}, "wall": {"median": 5.0, "min": 1.0, "max": 6.0}}
    }


@pytest.mark.slow
def test_the_suite_runs_alone(tmp_path):
    command = [sys.executable, SPEED, "compare", "nequip-molecules", "--alone", "--rounds", "1", "--out", tmp_path]
    options = ["--modes", "core", "core-train", "--groups", "model", "train"]
    done = subprocess.run([*map(str, command), *options], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads((tmp_path / "compare.json").read_text())
    (result,) = found["results"]
    assert result["sizes"] == {"atoms": 288, "frames": 32, "edges": 2304}
    assert set(result["times_ms"]) == {"equipot/core", "equipot/core-train"}
    assert all(one["cpu"]["median"] > 0.0 for one in result["times_ms"].values())
    assert found["machine"]["cores"]
