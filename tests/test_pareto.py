"""The benchmark of accuracy against speed: limits of time, the front, tables of what is there."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import write

from equipot.model import PresetNequIPGNNModel

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture
def pareto(monkeypatch):
    """A module of the benchmark by its name."""
    for folder in ("pareto", "speed"):
        monkeypatch.syspath_prepend(str(BENCHMARKS / folder))
    own = {path.stem for folder in ("pareto", "speed") for path in (BENCHMARKS / folder).glob("[!_]*.py")}
    for name in own & sys.modules.keys():
        monkeypatch.delitem(sys.modules, name)
    yield __import__
    for name in own & sys.modules.keys():
        del sys.modules[name]


@pytest.mark.slow
def test_a_training_is_stopped_by_its_cpu_clock(pareto, tmp_path):
    models, running = pareto("models"), tmp_path / "running"
    running.mkdir()
    code = "file = open('n', 'wb', 0)\nwhile True:\n    file.write(b'n')"
    found = models._train([sys.executable, "-c", code], running, [0.5, 1.0], sys.executable)
    (first, early), (second, late) = found
    assert [first.name, second.name] == ["until_0.5_s", "until_1_s"]
    assert 0.5 <= early < late < 4.0
    assert 0 < (first / "n").stat().st_size < (second / "n").stat().st_size <= (running / "n").stat().st_size


def test_a_training_that_ends_is_what_it_was_at_all_later_times(pareto, tmp_path):
    (tmp_path / "running").mkdir()
    found = pareto("models")._train([sys.executable, "-c", "pass"], tmp_path / "running", [60.0, 90.0], sys.executable)
    assert [cpu < 5.0 for _, cpu in found] == [True, True]


def test_a_training_that_fails_is_no_result(pareto, tmp_path):
    command = [sys.executable, "-c", "raise SystemExit('no such option')"]
    (tmp_path / "running").mkdir()
    with pytest.raises(RuntimeError, match="ended with code 1: no such option"):
        pareto("models")._train(command, tmp_path / "running", [60.0], sys.executable)


def test_a_fit_has_one_time(pareto, tmp_path):
    models = pareto("models")
    with pytest.raises(ValueError, match="linear ACE, order 2, degree 8 ends by itself: it takes one time, got 2"):
        models.run(models.MODELS["ace-S"], None, {}, tmp_path, [1.0, 3.0], {"ace": "python"})


def test_errors_are_means_over_frames_and_components(pareto, tmp_path):
    frames = []
    for n in (1, 3):
        atoms = Atoms("H" * n, np.arange(3 * n).reshape(n, 3))
        atoms.calc = SinglePointCalculator(atoms, energy=float(n), forces=np.zeros((n, 3)))
        frames.append(atoms)
    write(tmp_path / "test.extxyz", frames)
    np.savez(
        tmp_path / "predicted.npz", energies=[1.5, 6.0], forces=np.full((4, 3), 0.25), us_per_atom=7.0, timed_atoms=3
    )
    found = pareto("models")._errors(tmp_path / "test.extxyz", tmp_path)
    assert found == {"energy_mae": 750.0, "forces_mae": 250.0, "us_per_atom": 7.0, "timed_atoms": 3}


def test_the_parts_of_a_set_have_no_frame_in_common(pareto):
    parts = pareto("sets")._split(list(range(50)), 5, 30)
    assert [len(parts[name]) for name in ("train", "val")] == [30, 5]
    assert not set(parts["train"]) & set(parts["val"])


ROW = {"set": "ethanol", "epochs": 3, "energy_mae": 1.0, "versions": {"torch": "2"}, "minutes": 1.0}


def test_the_front_is_what_nothing_beats_in_both(pareto, tmp_path):
    results = tmp_path / "results"
    results.mkdir()
    for model, error, us in (("nequip-S", 10.0, 50.0), ("mace-S", 20.0, 10.0), ("sevenn-S", 20.0, 60.0)):
        row = {**ROW, "model": model, "forces_mae": error, "us_per_atom": us, "machine": {"cpu": "one", "date": "now"}}
        (results / f"{model}.json").write_text(json.dumps(row))
    written = pareto("front").write(results, tmp_path / "docs")
    assert [path.name for path in written] == ["ethanol.json", "pareto.svg"]
    table = json.loads(written[0].read_text())
    assert [(row[4], row[6]) for row in table["rows"]] == [("10.0", "●"), ("20.0", "●"), ("20.0", "")]
    assert "equipot-nequip-S" in table["description"]


def test_a_fit_that_ends_by_itself_is_shown_with_the_time_it_took(pareto):
    row = {**ROW, "training_cpu_s": 150.0}
    minutes = pareto("front")._minutes
    assert [minutes({**row, "model": model}) for model in ("ace-S", "mace-S")] == [2.5, 1.0]


def test_types_of_a_set_reach_the_config_of_the_peer(pareto, tmp_path):
    models, sets = pareto("models"), pareto("sets")
    files = {part: tmp_path / f"{part}.extxyz" for part in ("train", "val", "test")}
    models._lightning(models.MODELS["nequip-S"], sets.SETS["silicon"], files, tmp_path, sys.executable)
    config = json.loads((tmp_path / "config.yaml").read_text())
    assert config["data"]["transforms"][0]["model_type_names"] == ["Si"]
    assert config["data"]["stats_manager"]["type_names"] == ["Si"]
    assert config["training_module"]["model"]["type_names"] == ["Si"]


def test_a_linear_ace_gets_bond_lengths_of_its_own(pareto, tmp_path):
    models, sets = pareto("models"), pareto("sets")
    files = {part: tmp_path / f"{part}.extxyz" for part in ("train", "val", "test")}
    command = models._ace(models.MODELS["ace-S"], sets.SETS["water"], files, tmp_path, "python")
    assert [Path(word).name for word in command] == ["python", "ace_fit.py", "options.json", "basis.json"]
    basis = json.loads((tmp_path / "basis.json").read_text())
    assert basis == {"elements": ["H", "O"], "rcut": 4.5, "r0": 1.0, "order": 2, "totaldegree": 8}
    assert json.loads((tmp_path / "options.json").read_text())["r0"] == 1.0


def test_equal_sizes_have_equal_options_in_both_programs(pareto):
    models = pareto("models").MODELS
    for family in ("nequip", "allegro"):
        for size in "SML":
            ours, theirs = (dict(models[f"{side}{family}-{size}"].options) for side in ("equipot-", ""))
            for one in (ours, theirs):
                del one["_target_"]
                one.pop("radial_chemical_embed", None)
            assert ours == theirs
    common = {"type_names": ["H"], "r_max": 4.0, "avg_num_neighbors": 5.0}
    for size in "SML":
        recipe = PresetNequIPGNNModel(preset=size, **common)
        options = models[f"nequip-{size}"].options
        assert {name: getattr(recipe, name) for name in options if name != "_target_"}.items() <= options.items()
