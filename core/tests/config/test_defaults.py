"""Short configs: what is put in, and that nothing is put into whole ones."""

import copy
import random

import pytest
import yaml

from equipot.config import with_defaults, without_defaults
from equipot.config._default_values import DEFAULTS
from equipot.config._defaults import Filled, named_defaults, same
from equipot.containers import nodes
from equipot_test_support import ROOT

MODEL = {"_target_": "equipot.model.InvariantModel", "r_max": 4.0}
SHORT = {"data": {"split_dataset": {"file_path": "a.xyz"}}, "training_module": {"model": MODEL}}
WHOLE = sorted([*(ROOT / "examples").glob("*.yaml"), *(ROOT / "examples/every_option").glob("*.yaml")])


def short(**module):
    return {**SHORT, "training_module": {**SHORT["training_module"], **module}}


def test_what_the_shortest_config_stands_for():
    made = with_defaults(SHORT)
    assert made["run"] == ["train", "val", "test"]
    assert made["data"]["split_dataset"] == {"file_path": "a.xyz", "train": 0.8, "val": 0.1, "test": 0.1}
    assert made["trainer"]["accelerator"] == "auto"
    module = made["training_module"]
    assert module["loss"] == {"_target_": "equipot.train.EnergyForceLoss"}
    assert module["lr_scheduler"]["monitor"] == "val0_epoch/weighted_sum"
    assert module["model"]["type_names"] == "auto"
    assert module["model"]["per_type_energy_scales"] == "${training_data_stats:forces_rms}"
    assert "do_derivatives" not in module["model"]
    assert SHORT["training_module"]["model"] is MODEL, "the argument is not changed"
    assert "type_names" not in MODEL


@pytest.mark.parametrize("file", WHOLE, ids=[path.stem for path in WHOLE])
def test_configs_that_name_their_classes_keep_their_meaning(file):
    config = yaml.safe_load(file.read_text(encoding="utf-8"))
    assert with_defaults(config) == config
    shorter = without_defaults(config)
    assert same(with_defaults(shorter), config)


@pytest.mark.parametrize(
    ("loss", "metrics"),
    [
        (None, "EnergyForceMetrics"),
        ({"coeffs": {"total_energy": 1.0, "forces": 1.0, "stress": 1.0}}, "EnergyForceStressMetrics"),
        ({"_target_": "equipot.train.EnergyForceStressLoss"}, "EnergyForceStressMetrics"),
        ({"_target_": "equipot.train.EnergyOnlyLoss"}, "EnergyOnlyMetrics"),
        ({"_target_": "${of}"}, "EnergyOnlyMetrics"),
        ("${whole}", "EnergyOnlyMetrics"),
    ],
)
def test_metrics_follow_the_loss(loss, metrics):
    config = short(**({} if loss is None else {"loss": loss}))
    config["of"] = "equipot.train.EnergyOnlyLoss"
    config["whole"] = {"_target_": "equipot.train.EnergyOnlyLoss"}
    made = with_defaults(config)
    assert made["training_module"]["val_metrics"]["_target_"] == f"equipot.train.{metrics}"
    only = metrics.startswith("EnergyOnly")
    assert made["data"]["stats_manager"]["_target_"].endswith("EnergyOnlyDataStatisticsManager") == only
    assert made["training_module"]["model"].get("do_derivatives") is (False if only else None)


def test_an_unknown_loss_has_no_metrics():
    assert "val_metrics" not in with_defaults(short(loss={"_target_": "other.Loss"}))["training_module"]


def test_sets_decide_stages_and_scheduler():
    files = {**SHORT, "data": {"train_file_path": "a.xyz"}}
    made = with_defaults(files)
    assert made["run"] == ["train"]
    assert "lr_scheduler" not in made["training_module"], "nothing is validated"
    made = with_defaults({**SHORT, "data": {"split_dataset": {"file_path": "a"}, "test_file_path": "b"}})
    assert made["data"]["split_dataset"] == {"file_path": "a", "train": 0.9, "val": 0.1}
    assert made["run"] == ["train", "val", "test"]
    assert "lr_scheduler" not in with_defaults(short(val_metrics=None))["training_module"]


def test_a_class_that_is_named_keeps_its_own_defaults():
    step = {"_target_": "torch.optim.lr_scheduler.StepLR", "step_size": 3}
    module = with_defaults(short(lr_scheduler=step, optimizer={"_target_": "torch.optim.AdamW"}))["training_module"]
    assert module["lr_scheduler"] == step
    assert module["optimizer"] == {"_target_": "torch.optim.AdamW"}
    module = with_defaults(short(lr_scheduler={"scheduler": step}))["training_module"]
    assert module["lr_scheduler"] == {"scheduler": step}
    module = with_defaults(short(_target_="equipot.train.LightningModule"))["training_module"]
    assert module == {"model": MODEL, "_target_": "equipot.train.LightningModule"}


def test_parts_of_a_mapping_may_be_written():
    module = with_defaults(short(optimizer={"lr": 0.1}, lr_scheduler={"scheduler": {"patience": 2}}))["training_module"]
    assert module["optimizer"] == {"lr": 0.1, "_target_": "torch.optim.Adam"}
    assert module["lr_scheduler"]["scheduler"]["patience"] == 2
    assert module["lr_scheduler"]["scheduler"]["factor"] == 0.5
    made = with_defaults({**SHORT, "trainer": {"max_steps": 10, "check_val_every_n_epoch": 4}})
    assert "max_epochs" not in made["trainer"]
    assert with_defaults(SHORT)["trainer"]["max_epochs"] == 100
    assert made["training_module"]["lr_scheduler"]["frequency"] == 4


def test_stored_and_modified_models():
    stored = {"_target_": "equipot.model.ModelFromPackage", "package_path": "m.equipot.zip"}
    made = with_defaults(short(model=stored))["training_module"]
    assert made["model"] == stored
    assert made["optimizer"]["lr"] == 0.001
    outer = {"_target_": "equipot.model.modify", "modifiers": [], "model": MODEL}
    made = with_defaults(short(model=outer))["training_module"]["model"]
    assert made["model"]["type_names"] == "auto"
    assert "type_names" not in made


@pytest.mark.parametrize("config", [{"a": 1}, {"data": None, "training_module": "${x}"}, {}])
def test_what_is_no_config_of_a_run_is_left_alone(config):
    assert with_defaults(config) == config


def test_every_default_has_a_reason():
    assert len({one.path for one in DEFAULTS}) == len(DEFAULTS)
    assert all(one.reason and len(one.reason) < 60 for one in DEFAULTS)


OTHER = [None, 0, 1.0, "${nowhere}", {}, [], {"_target_": "torch.optim.SGD"}, {"_target_": "x"}, {"scheduler": {}}]


def changed(config, rng):
    """A copy with some entries removed or replaced."""
    made = copy.deepcopy(config)
    for _ in range(rng.randint(1, 5)):
        places = [one for path, one in nodes(made) if isinstance(one, dict) and one and path]
        if not places:
            break
        place = rng.choice(places)
        key = rng.choice(sorted(place))
        if rng.random() < 0.6:
            del place[key]
        else:
            place[key] = copy.deepcopy(rng.choice(OTHER))
    return made


@pytest.mark.slow
@pytest.mark.parametrize("number", range(25))
def test_the_two_are_inverse(number):
    rng = random.Random(number)
    config = changed(with_defaults(SHORT), rng)
    whole = with_defaults(config)
    assert same(with_defaults(whole), whole)
    shortest = without_defaults(whole)
    assert same(with_defaults(shortest), whole)
    assert same(without_defaults(shortest), shortest)


def test_the_shortest_config_comes_back():
    assert without_defaults(with_defaults(SHORT)) == SHORT


def test_equal_values_of_other_types_are_not_left_out():
    config = with_defaults(SHORT)
    config["data"]["seed"] = 1.0
    assert without_defaults(config)["data"]["seed"] == 1.0
    assert not same({"a": 1}, {"a": True})
    assert same({"a": float("nan")}, {"a": float("nan")})


def test_messages_say_what_is_not_in_the_config():
    filled = {"training_module.loss._target_": Filled("equipot.train.EnergyForceLoss", "usual")}
    texts = named_defaults(["training_module.loss: no forces", "data.seed: wrong"], filled)
    note = "training_module.loss is not in your config: the default is 'equipot.train.EnergyForceLoss' (usual)"
    assert texts == [f"training_module.loss: no forces; {note}", "data.seed: wrong"]
