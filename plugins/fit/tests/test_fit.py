"""The whole road on a small file: what a run leaves, an interruption, and a plan that repeats it."""

import json
import os
import signal
import threading
import time
from types import SimpleNamespace

import pytest
import torch
import yaml

from equipot.artifacts import load_model, read_manifest
from equipot_fit import TimeBudget
from equipot_fit import _fit as module
from equipot_fit._commands import call
from equipot_fit._finish import SetErrors
from equipot_fit._fit import AIM, Fit, FitOptions, Record, free_folder
from equipot_fit._tail import REPORT, REPORT_FRAMES


@pytest.fixture
def quick(monkeypatch):
    """A run of some steps, whose tail is short."""
    monkeypatch.setattr(module, "write_report", lambda folder, **_: None)
    monkeypatch.setattr("equipot_fit._package.refit_frames", lambda total, weights, frame, train, val: train)


def options(water, folder, **given):
    return FitOptions(data=(str(water),), output=folder, minutes=given.pop("minutes", 0.3), **given)


@pytest.mark.slow
@pytest.mark.usefixtures("quick")
def test_a_run_leaves_a_model_and_a_plan_that_repeats_it(water, planner, tmp_path, capsys):
    folder = tmp_path / "run"
    assert Fit(options(water, folder), planner).run() == 0
    record = json.loads((folder / "fit.json").read_text())
    assert record["state"] == "finished"
    assert record["asked_minutes"] == 0.3
    assert record["choices"] == {"trainer": "a test"}
    assert [one["name"] for one in record["stages"]] == ["plan", "train", "evaluate", "report"]
    assert record["used_seconds"] >= sum(one["seconds"] for one in record["stages"]) - 1.0
    assert record["skipped"].keys() == {"compile"}
    package = folder / "model.equipot.zip"
    assert read_manifest(package).provenance["refit"] == record["refit"]
    evaluation = json.loads((folder / "evaluation.json").read_text())
    assert evaluation["set"] == "test0"
    assert evaluation["n_frames"] == 3
    assert evaluation["forces_rmse_mev_per_angstrom"] > 0.0
    text = capsys.readouterr().out
    assert f"EquipotCalculator('{package}')" in text
    plan = yaml.safe_load((folder / "plan.yaml").read_text())
    budget, last = plan["trainer"]["callbacks"]
    assert budget == {"_target_": "equipot_fit.StepBudget", "steps": record["training"]["steps"]}
    assert last["_target_"] == "equipot_fit.PackageBest"
    assert call("train", str(folder / "plan.yaml"), "--output", str(tmp_path / "again")) == 0
    first, second = (load_model(path / "model.equipot.zip").state_dict() for path in (folder, tmp_path / "again"))
    assert all(torch.equal(value, second[name]) for name, value in first.items())
    assert (
        json.loads((folder / "refit.json").read_text())["after"]
        == json.loads((tmp_path / "again" / "refit.json").read_text())["after"]
    )


@pytest.mark.slow
@pytest.mark.usefixtures("quick")
def test_ctrl_c_leaves_a_model_and_the_run_goes_on(water, planner, tmp_path, monkeypatch, capsys):
    folder, before = tmp_path / "run", TimeBudget.on_train_batch_end

    def interrupting(self, trainer, *arguments):
        before(self, trainer, *arguments)
        if trainer.global_step == 9:
            os.kill(os.getpid(), signal.SIGINT)

    assert threading.current_thread() is threading.main_thread()
    monkeypatch.setattr(TimeBudget, "on_train_batch_end", interrupting)
    assert Fit(options(water, folder, minutes=0.5), planner).run() == 130
    assert load_model(folder / "model.equipot.zip").info.type_names == ("H", "O")
    text = capsys.readouterr().out
    assert f"go on with: equipot fit {water} --output {folder} --resume auto" in text
    assert json.loads((folder / "fit.json").read_text())["state"] == "planned"
    monkeypatch.setattr(TimeBudget, "on_train_batch_end", before)
    assert Fit(options(water, folder, minutes=0.5, resume=True), planner).run() == 0
    record = json.loads((folder / "fit.json").read_text())
    assert record["state"] == "finished"
    assert record["training"]["steps"] > 9
    assert f"resuming {folder / 'last.ckpt'}" in (folder / "train.log").read_text()


def test_a_run_that_was_killed_after_its_training_only_finishes(water, tmp_path, monkeypatch):
    folder = tmp_path / "run"
    folder.mkdir()
    record = Record(folder / "fit.json")
    run = Fit(options(water, folder, resume=True))
    record.update(
        state="trained",
        asked=run.options.asked(),
        asked_minutes=0.3,
        choices={},
        compiles=False,
        used_seconds=12.0,
    )
    record.update(training={"steps": 30, "decays": [[18, 30]]})
    budget = "trainer: {callbacks: [{_target_: equipot_fit.TimeBudget, minutes: 0.3}]}"
    (folder / "plan.yaml").write_text(f"run: [train]\n{budget}\n")
    done = []
    monkeypatch.setattr(Fit, "_finish", lambda self: done.append(self.used))
    monkeypatch.setattr(Fit, "_train", lambda self, plan: pytest.fail("it trains again"))
    assert run.run() == 0
    assert 12.0 <= done[0] < 60.0
    plan = yaml.safe_load((folder / "plan.yaml").read_text())
    assert plan["trainer"]["callbacks"] == [{"_target_": "equipot_fit.StepBudget", "steps": 30}]


def test_what_is_left_out_is_kept_and_said(tmp_path, capsys):
    record = Record(tmp_path / "fit.json")
    record.skip("compile", "there is no C++ compiler")
    assert capsys.readouterr().out == "no compile: there is no C++ compiler\n"
    assert json.loads((tmp_path / "fit.json").read_text())["skipped"] == {"compile": "there is no C++ compiler"}


def test_a_stage_that_fails_is_timed_too(tmp_path):
    record = Record(tmp_path / "fit.json")
    with pytest.raises(ValueError, match="wrong"), record.stage("train"):
        raise ValueError("wrong")
    (stage,) = record.content["stages"]
    assert stage["name"] == "train"
    assert 0.0 <= stage["cpu_seconds"] < 1.0


@pytest.mark.parametrize(("taken", "frames"), [(0.01, 500), (3.0, 15), (300.0, 5)])
def test_the_report_judges_as_many_frames_as_there_is_time_for(water, tmp_path, taken, frames):
    """Ten of the sixty seconds are left, all but those of the end; three of them are for frames."""
    (tmp_path / "run").mkdir()
    run = Fit(options(water, tmp_path / "run", minutes=1.0))
    run.record.before = 60.0 * AIM - 10.0
    run.record.update(asked_minutes=1.0, stages=[{"name": "evaluate", "seconds": taken}])
    found = run._report_options(SetErrors("val0", SimpleNamespace(n_frames=15), 15))
    assert found["max_frames"] == pytest.approx(frames, abs=1)
    assert found["until"] == pytest.approx(time.monotonic() + 10.0, abs=1.0)


def test_the_test_set_gets_what_compiled_file_and_report_leave(water, tmp_path):
    (tmp_path / "run").mkdir()
    run = Fit(options(water, tmp_path / "run", minutes=2.0))
    run.record.before = 60.0
    each = {"frames": {"train": 100, "val": 10, "test": 900}}
    run.record.update(asked_minutes=2.0, step_seconds=each, training={"frame_seconds": 0.02})
    seconds, frame = run._test_seconds()
    judged = REPORT_FRAMES + 500 + 100 // 5
    assert frame == 0.02
    assert seconds == pytest.approx(120.0 * AIM - 60.0 - REPORT - 0.02 * judged, abs=1.0)
    run.record.before = 1e3
    assert run._test_seconds()[0] == 0.0


def test_folders_do_not_collide(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    first = free_folder("data/my file.extxyz")
    assert first.parts[:2] == ("outputs", "my_file")
    first.mkdir(parents=True)
    monkeypatch.setattr(module.time, "strftime", lambda _: first.name)
    assert free_folder("my file.extxyz").name == f"{first.name}_2"


@pytest.mark.parametrize(("code", "said"), [(2, False), (143, True)])
def test_the_exit_code_is_that_of_the_training(water, planner, tmp_path, monkeypatch, capsys, code, said):
    monkeypatch.setattr(module, "call", lambda *arguments: code)
    assert Fit(options(water, tmp_path / "run"), planner).run() == code
    assert ("go on with" in capsys.readouterr().out) is said
    assert json.loads((tmp_path / "run" / "fit.json").read_text())["state"] == "planned"
