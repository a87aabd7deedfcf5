import json

import pytest

from equipot.config._components import components, find
from equipot.config._schema import component_schema, config_schema
from equipot.describe import describe_options
from equipot.errors import ConfigError

MODEL = {"_target_": "equipot.model.InvariantModel", "type_names": ["H"], "r_max": 4.0}


@pytest.mark.slow
def test_schema_is_valid_and_describes_every_option():
    import jsonschema

    schema = json.loads(json.dumps(config_schema()))
    jsonschema.Draft202012Validator.check_schema(schema)
    model = schema["$defs"]["equipot.model.InvariantModel"]
    assert model["required"] == ["_target_", "type_names", "r_max"]
    assert model["properties"]["r_max"]["anyOf"][0]["exclusiveMinimum"] == 0
    assert model["additionalProperties"] is False
    (component,) = find("InvariantModel")
    validator = jsonschema.Draft202012Validator(json.loads(json.dumps(component_schema(component))))
    assert validator.is_valid(MODEL)
    assert validator.is_valid({**MODEL, "r_max": "${cutoff}", "type_names": ["${first}", "O"]})
    assert validator.is_valid({**MODEL, "type_names": "auto", "per_type_energy_shifts": "atoms.json"})
    assert not validator.is_valid({**MODEL, "type_names": "automatic"})
    assert not validator.is_valid({**MODEL, "r_max": -1})
    assert not validator.is_valid({**MODEL, "r_max": "four"})
    assert not validator.is_valid({**MODEL, "num_chanels": 3})
    zbl = {"_target_": "equipot.pair_potentials.ZBL", "units": "metal"}
    assert validator.is_valid({**MODEL, "pair_potential": zbl, "energy_terms": {"more": zbl}})
    assert not validator.is_valid({**MODEL, "pair_potential": {**zbl, "unit": "metal"}})
    assert not validator.is_valid({**MODEL, "energy_terms": {"more": {**zbl, "unit": "metal"}}})


@pytest.fixture(scope="module")
def validator():
    import jsonschema

    return jsonschema.Draft202012Validator(json.loads(json.dumps(config_schema())))


def config(**sections):
    """A config of these sections with a small one for each of the others."""
    module = {"_target_": "equipot.train.EMALightningModule", "model": MODEL}
    data = {"_target_": "equipot.data.ASEDataModule", "seed": 1, "train_file_path": "a.extxyz"}
    return {"run": ["train"], "data": data, "trainer": {"_target_": "lightning.Trainer"}, "training_module": module} | {
        name: {**{"data": data, "trainer": {"_target_": "lightning.Trainer"}, "training_module": module}[name], **more}
        for name, more in sections.items()
    }


@pytest.mark.parametrize(
    ("section", "good", "bad"),
    [
        ("training_module", {"model": {**MODEL, "r_max": 3}}, {"model": {**MODEL, "r_maxx": 3}}),
        (
            "training_module",
            {"model": {"_target_": "equipot.model.modify", "modifiers": [], "model": MODEL}},
            {"model": {"_target_": "equipot.model.modify", "modifiers": [], "model": {**MODEL, "r_maxx": 3}}},
        ),
        ("training_module", {"model": {"_target_": "other.Model", "x": 1}}, {"model": {"_target_": "equipot.Model"}}),
        (
            "training_module",
            {"loss": {"_target_": "equipot.train.EnergyOnlyLoss"}},
            {"loss": {"_target_": "equipot.train.EnergyOnlyMetrics"}},
        ),
        (
            "training_module",
            {"val_metrics": {"_target_": "equipot.train.EnergyForceMetrics", "coeffs": {"forces_mae": 1.0}}},
            {"val_metrics": {"_target_": "equipot.train.EnergyForceMetrics", "coefs": {"forces_mae": 1.0}}},
        ),
        (
            "training_module",
            {"optimizer": {"_target_": "torch.optim.Adam", "lr": 0.01}},
            {"optimizer": {"_target_": "equipot.train.EnergyOnlyLoss"}},
        ),
        (
            "training_module",
            {"lr_scheduler": {"scheduler": {"_target_": "torch.optim.lr_scheduler.StepLR"}, "interval": "step"}},
            {"lr_scheduler": {"interval": "step"}},
        ),
        (
            "data",
            {"transforms": [{"_target_": "equipot.data.transforms.NeighborListTransform", "r_max": 4.0}]},
            {"transforms": [{"_target_": "equipot.data.transforms.NeighborListTransform", "r_ma": 4.0}]},
        ),
        ("data", {"seed": "${seed}"}, {"seed": "one"}),
        ("data", {"_target_": "other.Data"}, {"_target_": "equipot.train.EnergyOnlyLoss"}),
        (
            "trainer",
            {"callbacks": [{"_target_": "lightning.pytorch.callbacks.Timer"}], "logger": False},
            {"callbacks": [{"_target_": "equipot.train.EnergyOnlyLoss"}]},
        ),
    ],
)
def test_places_take_the_components_of_their_kinds(validator, section, good, bad):
    assert list(validator.iter_errors(config(**{section: good}))) == []
    assert not validator.is_valid(config(**{section: bad}))


def test_schema_knows_parts_of_plugins(install, monkeypatch):
    """A plugin's classes have definitions, with the options in their signatures."""
    import jsonschema

    from equipot.plugins import plugins

    source = """
from equipot import hookimpl
from equipot.declarations import PartEntry

@hookimpl
def equipot_parts():
    yield PartEntry(kind="transform", target=f"{__name__}.Shift", summary="Shifts")

class Shift:
    def __init__(self, by: float = 1.0):
        self.by = by

    def __call__(self, frame):
        return frame
"""
    module = install("equipot-shift", "shift", source)
    plugins.cache_clear()
    try:
        valid = jsonschema.Draft202012Validator(json.loads(json.dumps(config_schema()))).is_valid
        assert valid(config(data={"transforms": [{"_target_": f"{module}.Shift", "by": 2.0}]}))
        assert not valid(config(data={"transforms": [{"_target_": f"{module}.Shift", "buy": 2.0}]}))
    finally:
        plugins.cache_clear()


def test_training_components_document_every_option():
    missing = [
        f"{one.path}.{option.name}"
        for one in components()
        if one.path.startswith("equipot.train.")
        for option in describe_options(one.target)
        if not option.doc
    ]
    assert missing == []


@pytest.mark.usefixtures("missing_plugin")
def test_find_by_short_name_and_path():
    (short,) = find("ZBL")
    assert find("equipot.pair_potentials.ZBL") == [short]
    assert short.origin.startswith("equipot-zbl ")
    with pytest.raises(ConfigError, match="did you mean 'ZBL'"):
        find("ZBLL")
    assert find("equipot_zbl.ZBL") == [short]  # as it is declared
    with pytest.raises(ConfigError, match=r"equipot_zbl\.zbl_energy: unknown component"):
        find("equipot_zbl.zbl_energy")
    (part,) = find("equipot.train._losses.EnergyOnlyLoss")
    assert (part.path, part.kind) == ("equipot.train.EnergyOnlyLoss", "loss")
    with pytest.raises(ConfigError, match="pip install equipot-cube"):
        find("CubeModel")


SHORT_MODEL = {"_target_": "equipot.model.InvariantModel", "r_max": 4.0}


@pytest.mark.parametrize(
    ("change", "right"),
    [
        ({}, True),
        ({"trainer": {"max_epochs": 3, "logger": "tensorboard"}}, True),
        ({"trainer": {"logger": ["csv", "wandb"]}}, True),
        ({"training_module": {"model": SHORT_MODEL, "optimizer": {"lr": 0.1}}}, True),
        ({"training_module": {"model": SHORT_MODEL, "loss": {"coeffs": {"stress": 1.0}}}}, True),
        ({"training_module": {"model": SHORT_MODEL, "lr_scheduler": {"scheduler": {"patience": 3}}}}, True),
        ({"data": {"file_path": "a.xyz"}}, False),
        ({"training_module": {"loss": {}}}, False),
        ({"training_module": {"model": {**SHORT_MODEL, "r_maxx": 4.0}}}, False),
        ({"training_module": {"model": {"_target_": "equipot.model.InvariantModel"}}}, False),
        ({"training_module": {"_target_": "equipot.train.EMALightningModule", "model": SHORT_MODEL}}, False),
    ],
)
def test_short_configs_fit_too(validator, change, right):
    config = {"data": {"split_dataset": {"file_path": "a.xyz"}}, "training_module": {"model": SHORT_MODEL}, **change}
    assert validator.is_valid(config) == right


@pytest.mark.parametrize("section", ["data", "training_module"])
def test_two_sections_must_be_written(validator, section):
    short = {"data": {"train_file_path": "a.xyz"}, "training_module": {"model": SHORT_MODEL}}
    assert validator.is_valid(short)
    assert not validator.is_valid({key: value for key, value in short.items() if key != section})
