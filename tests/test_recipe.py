"""The experiments behind the defaults of ``equipot fit``: schedules, what is left to run, tables, and a short run."""

import sys
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator

RECIPE = Path(__file__).parents[1] / "benchmarks" / "recipe"


@pytest.fixture
def recipe(monkeypatch):
    """A module of the benchmark by its name; other benchmarks have modules of the same names."""
    monkeypatch.syspath_prepend(str(RECIPE))
    own = {path.stem for path in RECIPE.glob("[!_]*.py")}
    for name in own & sys.modules.keys():
        monkeypatch.delitem(sys.modules, name)
    yield __import__
    for name in own & sys.modules.keys():
        del sys.modules[name]


@pytest.mark.parametrize("schedule", ["linear", "cosine", "sqrt"])
def test_the_learning_rate_rises_stays_and_falls_to_zero(schedule, recipe):
    one = recipe("settings").Settings(schedule=schedule, warmup=0.1, decay=0.5)
    assert one.rate(0.05) == pytest.approx(0.5)
    assert one.rate(0.1) == one.rate(0.5) == 1.0
    assert one.rate(1.0) == pytest.approx(0.0, abs=1e-12)
    falling = [one.rate(done) for done in np.linspace(0.5, 1.0, 20)]
    assert falling == sorted(falling, reverse=True)


def test_the_weight_of_energies_moves_during_the_decay(recipe):
    one = recipe("settings").Settings(energy=1.0, last_energy=100.0, decay=0.5)
    assert [one.energy_weight(done) for done in (0.0, 0.5, 0.75, 1.0)] == pytest.approx([1.0, 1.0, 10.0, 100.0])


def test_only_what_is_missing_is_run_and_each_once(recipe):
    settings, studies, runs = recipe("settings"), recipe("studies"), recipe("runs")
    first, second = settings.Settings(lr=0.1), settings.Settings(lr=0.2)
    both = studies.Study("one", "One", "", {"a": first, "b": second, "again": second})
    held = [{"settings": {"lr": 0.1}, "steps": 7, "cpu_s": 1.0, "test": {"energy": 1.0, "forces": 2.0}}]
    assert runs.missing(held, [both]) == [second]
    assert runs.table(both, held)["rows"] == [["a", "ethanol", "7", "1", "1.00", "2.0", ""]]


def test_settings_come_from_words(recipe):
    runs = recipe("runs")
    given = runs.settings_of(["data=si", "lr=0.003", 'model={"num_features": 8}'])
    assert (given.data, given.lr, given.model) == ("si", 0.003, {"num_features": 8})
    with pytest.raises(SystemExit, match="lrr"):
        runs.settings_of(["lrr=1"])


def molecules(count):
    rng = np.random.default_rng(0)
    for _ in range(count):
        atoms = Atoms("OHH", [[0, 0, 0], [1, 0, 0], [0, 1, 0]] + 0.1 * rng.normal(size=(3, 3)))
        atoms.calc = SinglePointCalculator(atoms, energy=rng.normal(), forces=rng.normal(size=(3, 3)))
        yield atoms


@pytest.mark.parametrize("changes", [{}, {"schedule": "plateau", "loss": "huber", "family": "allegro"}])
def test_a_short_run_gives_errors_of_test_frames(changes, recipe, monkeypatch):
    monkeypatch.setenv("EQUIPOT_AUTOMATIC_MODIFIERS", "0")
    train, sets = recipe("train"), recipe("sets")
    frames = list(molecules(8))
    monkeypatch.setitem(sets.SETS, "tiny", lambda: {"train": frames[:4], "val": frames[4:6], "test": frames[6:]})
    monkeypatch.setattr(train, "MODELS", {"nequip": {"num_layers": 1, "num_features": 2}, "allegro": {"l_max": 1}})
    monkeypatch.setattr(train, "CHECKS", 2)
    settings = recipe("settings").Settings(data="tiny", steps=3, batch=2, **changes)
    found = train.run(settings)
    assert found["steps"] == 3
    assert found["settings"] == settings.changed()
    assert all(np.isfinite(found[part][name]) for part in ("val", "test") for name in ("energy", "forces"))


def test_sets_need_the_folder_with_public_data(recipe, monkeypatch):
    monkeypatch.delenv("EQUIPOT_EXTRA_DATA", raising=False)
    with pytest.raises(SystemExit, match="set EQUIPOT_EXTRA_DATA"):
        recipe("sets").SETS["ethanol"]()
