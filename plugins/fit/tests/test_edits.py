"""Changes of planned configs."""

import copy

from equipot_fit._edits import callbacks, with_steps, with_time
from equipot_fit._tail import Tail

FINAL = {"per_atom_energy_mse": 9.0, "forces_mse": 1.0}


def tail(refit_frames, seconds=0.0):
    return Tail(seconds, refit_frames, compiles=False, frames=7)


def test_time_is_set_once_and_other_callbacks_stay(config):
    other = {"_target_": "lightning.pytorch.callbacks.Timer"}
    config["trainer"]["callbacks"] = [other, {"_target_": "equipot_fit.TimeBudget", "minutes": 1.0, "decay": 0.4}]
    before = copy.deepcopy(config)
    changed = with_time(with_time(config, 2.0, tail(100)), 3.0, tail(0, 40.04))
    assert callbacks(changed) == [
        {"_target_": "equipot_fit.TimeBudget", "minutes": 3.0, "decay": 0.4, "reserve": 40.0, "reserve_frames": 7},
        other,
        {"_target_": "equipot_fit.PackageBest", "refit": False},
    ]
    assert config == before


def test_a_training_does_not_test_what_takes_too_long(config):
    config["run"] = ["train", "val", "test"]
    assert with_time(config, 2.0, tail(100))["run"] == ["train", "val", "test"]
    too_large = Tail(0.0, 100, compiles=False, tests=False)
    assert with_time(config, 2.0, too_large)["run"] == ["train", "val"]


def test_a_config_without_callbacks_gets_them(config):
    del config["trainer"]["callbacks"]
    changed = with_time(config, 2.0, tail(100))
    assert [one["_target_"].rpartition(".")[2] for one in callbacks(changed)] == ["TimeBudget", "PackageBest"]
    assert callbacks(changed)[1]["max_frames"] == 100
    config["trainer"]["callbacks"] = {"_target_": "x.Y"}
    assert callbacks(config) == [{"_target_": "x.Y"}]


def test_steps_replace_time(config):
    config["trainer"]["callbacks"][0]["final_coeffs"] = FINAL
    timed = with_time(config, 2.0, tail(100))
    changed = with_steps(timed, {"steps": 70, "decays": [[50, 71], [60, 70]], "seconds": 1.0})
    assert callbacks(changed)[0] == {"_target_": "equipot_fit.StepBudget", "steps": 70, "final_coeffs": FINAL}
    assert callbacks(changed)[1:] == callbacks(timed)[1:]
    scheduler = changed["training_module"]["lr_scheduler"]["scheduler"]
    assert scheduler == {"_target_": "equipot_fit.WarmupDecay", "warmup_steps": 3, "decays": [[50, 71], [60, 70]]}
    assert "decays" not in timed["training_module"]["lr_scheduler"]["scheduler"]


def test_the_refit_is_repeated_with_its_frames(config):
    timed, budget = with_time(config, 2.0, tail(100)), {"steps": 70, "decays": [], "seconds": 1.0}
    assert callbacks(with_steps(timed, budget, {"max_frames": 40}))[1]["max_frames"] == 40
    assert callbacks(with_steps(timed, budget, {"max_frames": 0}))[1]["refit"] is False
