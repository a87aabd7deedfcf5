"""The benchmark suite runs without a peer, and compares nothing that does not agree."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

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


def test_ratios_refer_to_the_fastest_mode_of_the_peer(monkeypatch):
    compare = suite("compare", monkeypatch)
    times = {
        "nequip/train": [{"cpu": 30.0, "wall": 30.0}],
        "nequip/train_compiled": [{"cpu": 20.0, "wall": 20.0}],
        "equipot/core-train": [{"cpu": 10.0, "wall": 10.0}],
    }
    assert compare._ratios(times)["core-train"]["cpu"]["median"] == 2.0


def test_losses_that_differ_are_not_timed(monkeypatch):
    compare = suite("compare", monkeypatch)
    case = compare.Case("one", "nequip")
    compare._check_losses(case, {"equipot/core-train": 2.0})
    compare._check_losses(case, {"nequip/train": 1.0, "equipot/core-train": 1.00001})
    with pytest.raises(SystemExit, match=r"one, equipot/core-train: the loss is 1\.01, the peer's 1\.0; no times"):
        compare._check_losses(case, {"nequip/train": 1.0, "equipot/core-train": 1.01})


def test_made_up_molecules_are_dense_and_repeatable(monkeypatch):
    systems = suite("systems", monkeypatch)
    frames = systems.SYSTEMS["small"]()
    assert [len(frame) for frame in frames] == [15] * 5
    distances = np.concatenate([frame.get_all_distances()[np.triu_indices(15, 1)] for frame in frames])
    assert distances.min() > 1.1
    assert 2 * (distances < 4.0).sum() == pytest.approx(775, abs=60)
    assert np.array_equal(systems.cluster(0).positions, frames[0].positions)


def test_ops_are_counted_with_the_backward_pass(monkeypatch):
    worker = suite("worker", monkeypatch)
    weight = torch.ones(3, requires_grad=True)
    forward = worker.count_ops(lambda: weight.mul(weight))
    assert forward == {"ops": 1, "names": {"aten::mul": 1}}
    both = worker.count_ops(lambda: torch.autograd.grad(weight.mul(weight).sum(), weight))
    assert both["names"]["aten::mul"] == 3
    assert both["ops"] > 4


SPREAD = {"median": 2.0, "min": 1.0, "max": 3.0}
MEASURED = {
    "times": {
        "versions": {"equipot": {"torch": "2", "threads": "1"}},
        "times_ms": {"nequip/train": {"cpu": SPREAD}, "equipot/core-train": {"cpu": SPREAD}},
        "ratios": {"core-train": {"cpu": SPREAD}},
        "failed": {"nequip/train_compiled": "reason"},
    },
    "ops": {"ops": {"nequip/train": 9, "equipot/core-train": 7}},
    "training": {
        "times": {"equipot/core": dict.fromkeys(("epoch_wall_s", "epoch_cpu_s", "start_cpu_s", "cpu"), SPREAD)},
        "ratios": {"equipot/core": dict.fromkeys(("epoch_cpu_s", "cpu", "wall"), SPREAD)},
    },
    "start": {"first_step": {"cold": {"wall": {**SPREAD, "max": 9.0}, "cpu": SPREAD, "imports_wall": SPREAD}}},
    "threads": {"threads_of": {"core": {"one_ms": SPREAD, "two_ms": SPREAD, "ratio": SPREAD}}},
    "memory": {"memory": {"equipot/core": {"kb_per_edge": 1.5, "largest_deviation_mb": 2.0}}},
}
LAST = {
    "times": ["case", "peer train_compiled", "does not run", ""],
    "ops": ["case", "core-train", "7"],
    "training": ["case", "core", *["2.000 (1.000–3.000)"] * 2, "2.0 (1.0–3.0)", "2 (1–3)", *["2.0 (1.0–3.0)"] * 3],
    "start": ["case", "cold", "2.0 (1.0–9.0)", "0.0 (-1.0–7.0)", "2.0 (1.0–3.0)"],
    "threads": ["case", "core", "2.0 (1.0–3.0)", "2.0 (1.0–3.0)", "2.00 (1.00–3.00)"],
    "memory": ["case", "core", "1.50", "2"],
}


@pytest.mark.parametrize("kind", MEASURED)
def test_tables_of_the_page_are_made_from_what_was_measured(kind, monkeypatch, tmp_path):
    for name in ("cases", "systems", "interleave", "compare", "sizes", "whole", "first_step"):
        suite(name, monkeypatch)
    rows = suite("rows", monkeypatch)
    name = next(name for name, row in rows.ROWS.items() if row.kind == kind)
    machine = {"cpu": "one", "instructions": "AVX2", "date": "today"}
    found = {"machine": machine, "threads": 1, "command": "what was typed", "results": {"case": MEASURED[kind]}}
    (tmp_path / f"row_{name}.json").write_text(json.dumps(found))
    (path,) = rows.tables(tmp_path, tmp_path / "docs")
    table = json.loads(path.read_text())
    assert table["rows"][-1] == LAST[kind]
    assert {len(row) for row in table["rows"]} == {len(table["columns"])}
    assert table["command"] == "what was typed"


def test_a_whole_training_is_its_start_and_its_epochs(monkeypatch):
    for name in ("cases", "systems", "interleave", "compare"):
        suite(name, monkeypatch)
    whole = suite("whole", monkeypatch)
    found = whole._split(3, 13, (7.0, 4.0), (12.0, 24.0))
    assert found["epoch_wall_s"] == pytest.approx(0.5)
    assert found["start_wall_s"] == pytest.approx(5.5)
    assert found["wall"] == pytest.approx(5.5 + 0.5 * whole.WHOLE)
    assert (found["epoch_cpu_s"], found["start_cpu_s"]) == (pytest.approx(2.0), pytest.approx(-2.0))


@pytest.mark.nightly
def test_a_start_is_measured_cold_and_again(monkeypatch, tmp_path):
    for name in ("cases", "systems", "interleave", "compare", "whole"):
        suite(name, monkeypatch)
    first_step = suite("first_step", monkeypatch)
    cases = sys.modules["cases"].CASES
    settings = sys.modules["compare"].Settings(tmp_path, None, sys.executable, rounds=1)
    found = first_step.measure(cases["allegro-small"], settings)["first_step"]
    assert 0.0 < found["cached"]["cpu"]["median"] < found["cold"]["cpu"]["median"]
    assert found["cold"]["imports_wall"]["median"] < found["cold"]["wall"]["median"]


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
