"""``equipot fit`` killed at some instants and resumed: it ends with a model, and with a plan that repeats it.

The sample is ``slow``; ``EQUIPOT_CRASHES`` sets how many kills the ``nightly`` one makes.
"""

import json
import os
import random
import shutil
import sys
from pathlib import Path

import pytest
import torch
import yaml

from equipot._cli.main import main
from equipot.artifacts import load_model
from equipot_fit import _fit as module
from equipot_fit._fit import Fit, FitOptions
from equipot_test_support.crash import Trainings

INSTANTS = {"processor time": 0, "half a write": 60, "flush": 60, "before rename": 60, "after rename": 60, "batch": 30}
"""Where a run is killed, for the n-th time, n at most this."""


@pytest.fixture
def runs(tmp_path, planner):
    """Fits of some steps in processes of their own, without a report; with a config, the training that it says."""

    def program(arguments):
        output, *others = arguments[1:]
        if "--config" in others:
            return main(["train", others[others.index("--config") + 1], "--output", output])
        module.write_report = lambda folder, **_: None
        data = (str(tmp_path / "water.extxyz"),)
        return Fit(FitOptions(data=data, output=Path(output), minutes=0.1, resume="--resume" in others), planner).run()

    return Trainings(tmp_path, program=program)


def chain(runs, dice, seconds, name, length):
    """Kill a run up to so many times, let it end, and look at what it leaves; gives the kills that hit."""
    hits = []
    for _ in range(length):
        instant = dice.choice(tuple(INSTANTS))
        number = dice.uniform(0.02, seconds) if instant == "processor time" else dice.randint(1, INSTANTS[instant])
        code, _ = runs.train(name, "--resume", "auto", kill=(instant, number))
        assert code in (0, -9), f"{hits}: {runs.log()[-3000:]}"
        if code == -9:
            hits.append((instant, number))
    assert runs.train(name, "--resume", "auto")[0] == 0, f"{hits}: {runs.log()[-3000:]}"
    folder = runs.folder / name
    check(folder, hits)
    again = f"{name} again"
    assert runs.train(again, "--config", str(folder / "plan.yaml"))[0] == 0, f"{hits}: {runs.log()[-3000:]}"
    first, second = (load_model(path / "model.equipot.zip").state_dict() for path in (folder, runs.folder / again))
    assert all(torch.equal(value, second[key]) for key, value in first.items()), hits
    shutil.rmtree(folder)
    shutil.rmtree(runs.folder / again)
    return len(hits)


def check(folder, hits):
    """The folder of a run that has ended."""
    record = json.loads((folder / "fit.json").read_text(encoding="utf-8"))
    assert record["state"] == "finished", hits
    budget = json.loads((folder / "budget.json").read_text(encoding="utf-8"))
    assert record["training"] == budget, hits
    assert json.loads((folder / "evaluation.json").read_text(encoding="utf-8"))["n_frames"] == 3, hits
    steps, package = yaml.safe_load((folder / "plan.yaml").read_text(encoding="utf-8"))["trainer"]["callbacks"]
    assert (steps["_target_"], steps["steps"]) == ("equipot_fit.StepBudget", budget["steps"]), hits
    assert package["_target_"] == "equipot_fit.PackageBest", hits
    left = [path.name for path in folder.iterdir() if path.name.startswith(".") and path.name != ".hydra"]
    assert left == [], hits


def crash(runs, kills, seed=0):
    """Chains of up to 3 kills until there were so many."""
    dice, survived, chains = random.Random(seed), 0, 0
    code, seconds = runs.train("whole")
    assert code == 0, runs.log()
    while survived < kills:
        survived += chain(runs, dice, seconds, f"chain {chains}", dice.randint(1, 3))
        chains += 1
    sys.stdout.write(f"{survived} kills in {chains} chains survived\n")


@pytest.mark.slow
def test_killed_and_resumed(runs):
    crash(runs, 2)


@pytest.mark.nightly
def test_killed_often(runs):
    crash(runs, int(os.environ.get("EQUIPOT_CRASHES", "40")), seed=1)
