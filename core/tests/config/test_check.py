import pytest

from equipot.config._check import check_config
from equipot.config._instantiate import ConfigObjects, Deferred
from equipot.config._load import compose
from equipot.data import DataModule, SourceDataModule
from equipot.errors import ConfigError


def check(*overrides):
    return check_config(*_composed(overrides))


def _composed(overrides):
    config, hydra = compose("config.yaml", overrides)
    return config, None, hydra


def test_what_a_check_makes(folder):
    checked = check()
    assert checked.stages == ["train", "val", "test"]
    assert checked.statistics == ["num_neighbors_mean", "per_atom_energy_mean", "per_type_forces_rms"]
    assert checked.labels["train"] == {"total_energy": "training_module.loss", "forces": "training_module.loss"}
    assert set(checked.labels) == {"train", "val", "test"}
    assert checked.recipe.type_names == ["H", "O"]
    assert checked.data.info.r_max == 4.0


def test_user_variables_must_be_used(folder):
    assert check("+my_width=8", "+training_module.model.num_channels='${my_width}'").stages
    with pytest.raises(ConfigError, match="my_width: unknown key; a key of your own must be used by some"):
        check("+my_width=8")


def test_statistics_belong_to_the_training_module(folder):
    with pytest.raises(ConfigError, match=r"data\.seed: statistics can be used in training_module only"):
        check("data.seed='${training_data_stats:num_neighbors_mean}'")


def test_statistics_need_a_manager(folder):
    with pytest.raises(ConfigError, match="statistics need data.stats_manager") as error:
        check("~data.stats_manager")
    assert len(error.value.problems) == 3


def test_type_names_of_a_nested_model(folder):
    override = (
        "training_module.model={_target_: equipot.model.modify, modifiers: [{modifier: modify_PerTypeScaleShift, "
        "shifts: '${training_data_stats:per_type_forces_rms}'}], model: {_target_: equipot.model.InvariantModel, "
        "type_names: '${chemical_symbols}', r_max: '${cutoff_radius}'}}"
    )
    text = (folder.path / "config.yaml").read_text()
    folder.write(text[: text.index("  model:")] + "  model: null\n")
    assert check(override).statistics == ["per_type_forces_rms"]


def test_energy_only_config(folder):
    overrides = [
        "+training_module.model.do_derivatives=false",
        "training_module.loss={_target_: equipot.train.EnergyOnlyLoss}",
        "~training_module.loss.coeffs",
        "training_module.val_metrics={_target_: equipot.train.EnergyOnlyMetrics}",
        "~training_module.val_metrics.coeffs",
        "training_module.model.per_type_energy_scales=1.0",
        "data.stats_manager._target_=equipot.data.EnergyOnlyDataStatisticsManager",
    ]
    assert check(*overrides).labels["train"] == {"total_energy": "training_module.loss"}


def test_hydra_values_resolve_in_a_check(folder):
    callback = "{_target_: lightning.pytorch.callbacks.ModelCheckpoint, dirpath: '${hydra:runtime.output_dir}'}"
    assert check(f"+trainer.callbacks=[{callback}]").stages


def test_nested_schedulers_wait_for_the_optimizer():
    objects = ConfigObjects(final=True, deferred={"s": ("optimizer",)})
    node = {
        "_target_": "torch.optim.lr_scheduler.SequentialLR",
        "milestones": [2],
        "schedulers": [
            {"_target_": "torch.optim.lr_scheduler.ConstantLR", "factor": 0.5},
            {"_target_": "torch.optim.lr_scheduler.ExponentialLR", "gamma": 0.9},
        ],
    }
    made = objects.make(node, "s")
    assert objects.problems == []
    assert isinstance(made, Deferred)
    import torch

    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    scheduler = made(optimizer=optimizer)
    assert type(scheduler).__name__ == "SequentialLR"
    assert optimizer.param_groups[0]["lr"] == 0.5


def test_problems_of_nested_nodes_are_all_found():
    objects = ConfigObjects(deferred={"s": ("optimizer",)})
    node = {
        "_target_": "torch.optim.lr_scheduler.SequentialLR",
        "milestone": [2],
        "schedulers": [{"_target_": "torch.optim.lr_scheduler.ConstantLR", "factr": 0.5}, {"_target_": "os.system"}],
    }
    objects.make(node, "s")
    assert [text.split(":")[0] for text in objects.problems] == [
        "s.schedulers.0.factr",
        "s.schedulers.1._target_",
        "s.milestone",
    ]


def test_partial_nodes_may_leave_options_open():
    objects = ConfigObjects(final=True)
    made = objects.make({"_target_": "torch.optim.Adam", "_partial_": True, "lr": 0.5}, "x")
    assert objects.problems == []
    import torch

    assert made(params=[torch.nn.Parameter(torch.zeros(1))]).param_groups[0]["lr"] == 0.5


def test_any_validation_set_may_exist_where_only_reading_tells(folder, monkeypatch):
    monkeypatch.setattr(SourceDataModule, "expected_sets", DataModule.expected_sets)
    assert check("training_module.lr_scheduler.monitor=val7_epoch/weighted_sum").stages
    with pytest.raises(ConfigError, match="unknown metric, got 'val7_epoch/weight'"):
        check("training_module.lr_scheduler.monitor=val7_epoch/weight")


def test_loggers_are_not_made(folder, monkeypatch):
    """They are legal, but write files and open connections when they are made."""
    import lightning.pytorch.loggers

    def refuse(*_, **__):
        raise AssertionError("a logger was made")

    monkeypatch.setattr(lightning.pytorch.loggers.CSVLogger, "__init__", refuse)
    node = "{_target_: lightning.pytorch.loggers.CSVLogger, save_dir: logs}"
    before = sorted(folder.path.iterdir())
    assert check(f"trainer.logger={node}").stages
    assert check(f"trainer.logger=[{node}]").stages
    assert sorted(folder.path.iterdir()) == before


@pytest.mark.parametrize(
    ("override", "problem"),
    [
        ("+trainer.devices=1000000", "trainer.devices: must be at most 1024, got 1000000"),
        ("+trainer.devices='1000000'", "trainer.devices: must be at most 1024, got '1000000'"),
        ("+trainer.num_nodes=1000000", "trainer.num_nodes: must be at most 16384, got 1000000"),
        ("+data.train_dataloader.num_workers=1000000", "num_workers: must be less than or equal to 1024, got 1000000"),
        ("data.seed=9223372036854775808", "data.seed: is too large for an integer; at most 2^63 - 1"),
        ("+seed=-9223372036854775808", "seed: is too large for an integer; at most 2^63 - 1"),
        ("data=3", "data: must be a mapping with _target_, got 3"),
    ],
)
def test_absurd_numbers(folder, override, problem):
    with pytest.raises(ConfigError) as error:
        check(override)
    assert any(text.endswith(problem) for text in error.value.problems), error.value.problems


def test_a_model_without_class_is_one_problem(folder):
    with pytest.raises(ConfigError) as error:
        check("~training_module.model._target_")
    hint = "name the class of the model; equipot describe lists them"
    assert error.value.problems == [f"training_module.model: required key _target_ is missing; {hint}"]


def with_charges(folder):
    """The config with a model that has a head."""
    text = (folder.path / "config.yaml").read_text()
    model = "{_target_: equipot.model.InvariantModel, type_names: '${chemical_symbols}', r_max: '${cutoff_radius}'}"
    model = f"{{_target_: equipot.model.modify, modifiers: [{{modifier: add_Charges}}], model: {model}}}"
    folder.write(text[: text.index("  model:")] + f"  model: {model}\n")


@pytest.mark.usefixtures("heads_plugin")
def test_labels_that_the_model_does_not_predict_are_found_before_training(folder):
    loss = "+training_module.loss.coeffs.dipole=1.0"
    with pytest.raises(ConfigError) as error:
        check(loss)
    (text,) = error.value.problems
    assert text.startswith(
        "training_module.loss: needs dipole, which the model does not predict; add the modifier add_Ch"
    )
    assert text.endswith(" to the model, or take it out")
    with_charges(folder)
    assert check(loss).labels["train"]["dipole"] == "training_module.loss"


@pytest.mark.usefixtures("heads_plugin")
def test_labels_that_nothing_uses_are_found(folder):
    with pytest.raises(ConfigError) as error:
        check("+data.labels={charges: q}")
    (text,) = error.value.problems
    assert text.startswith("data.labels.charges: is a label that the model does not predict; add the modifier add_Ch")
    assert check("+data.labels={stress: my_stress}").stages  # of energies, whether or not the model has derivatives
    with_charges(folder)
    assert check("+data.labels={charges: q}").stages
