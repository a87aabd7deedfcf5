"""Measured times of steps."""

import json
from types import SimpleNamespace

import pytest
import torch

from equipot.errors import ConfigError
from equipot_fit import _speed as module
from equipot_fit._speed import Measured, StepTime, step_seconds, timing_config


def test_the_timed_run_has_no_schedule_and_the_config_stays(config):
    made = timing_config(config, 1.0)
    assert "lr_scheduler" in config["training_module"]
    assert "lr_scheduler" not in made["training_module"]
    assert made["trainer"]["callbacks"] == [{"_target_": "equipot_fit.StepTimer", "seconds": 1.0}]
    assert made["training_module"]["model"] == config["training_module"]["model"]


def test_what_was_measured_is_remembered(config, monkeypatch):
    calls = []
    monkeypatch.setattr(
        "equipot_fit._speed.step_seconds", lambda config, seconds: calls.append(1) or StepTime(1.0, 1.0, 1.0)
    )
    measured = Measured()
    assert measured(config) is measured({**config, "trainer": {}})
    assert len(calls) == 1
    measured({**config, "data": {}})
    assert len(calls) == 2


@pytest.mark.slow
def test_times_are_measured_on_the_data(config):
    found = step_seconds(config, seconds=0.2)
    assert 0.0 < found.step < 10.0
    assert 0.0 < found.validation < 60.0
    assert found.start_up > 0.0
    assert found.warm_up >= 0.0
    assert found.last_layer == 4
    assert found.frames == {"train": 6, "val": 3, "test": 3}
    assert found.atoms == 3.0


def test_the_first_of_the_timed_steps_do_not_count(monkeypatch, tmp_path):
    clock = [0.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: clock[0])
    energy = SimpleNamespace(last_layer=lambda: None)
    model, data = SimpleNamespace(model=SimpleNamespace(energy=energy)), SimpleNamespace(set_names=())
    trainer = SimpleNamespace(global_step=0, should_stop=False, datamodule=data, default_root_dir=tmp_path)
    timer = module.StepTimer(seconds=10.0, steps=100)
    timer.on_train_start(trainer, model)
    while not trainer.should_stop:
        trainer.global_step += 1
        clock[0] += 0.02 if trainer.global_step <= 50 else 0.01
        timer.on_train_batch_end(trainer, model, None, {"num_atoms": torch.tensor([2, 4])}, 0)
    timer.on_train_end(trainer, model)
    found = json.loads((tmp_path / module.SPEED).read_text())
    assert trainer.global_step == module.WARM_UP + 100
    assert found["step"] == pytest.approx(0.01)
    assert found["warm_up"] == pytest.approx(0.5)
    assert found["atoms"] == 3.0


def test_a_config_that_cannot_run_says_why(config):
    config["training_module"]["model"]["r_max"] = -1.0
    with pytest.raises(ConfigError, match=r"r_max"):
        step_seconds(config)


def test_a_signal_ends_the_command(config, monkeypatch):
    monkeypatch.setattr("equipot_fit._speed.call", lambda *arguments: 130)
    with pytest.raises(SystemExit) as stop:
        step_seconds(config)
    assert stop.value.code == 130


def test_after_a_while_no_further_config_is_measured(monkeypatch):
    monkeypatch.setattr(module, "step_seconds", lambda config, seconds: config["data"])
    measured = module.Measured(until=0.0)
    assert measured({"data": 1}) == measured({"data": 1}) == 1
    with pytest.raises(module.NoTimeError):
        measured({"data": 2})


def test_slowness_is_that_of_the_last_seconds_and_never_below_one():
    speed, work = module.Slowness(), [0.0]
    speed.worked = lambda: work[0]
    speed.start(0.0)
    factors = []
    for now in range(1, 101):
        work[0] += 1.2 if now <= 50 else 0.25
        speed.look(float(now), 20.0)
        factors.append(speed.factor)
    assert factors[40] == 1.0
    assert factors[-1] == pytest.approx(4.0)
    speed.look(1e6, 20.0)
    assert speed.factor == module.MOST_SLOWED
