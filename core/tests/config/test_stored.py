"""Objects of stored configs."""

import pytest

from equipot.config import stored_data
from equipot.data import ASEDataModule
from equipot.errors import ConfigError

SECTION = {"_target_": "equipot.data.ASEDataModule", "seed": 3, "train_file_path": "nowhere/train.extxyz"}


def test_the_data_section_is_made_without_reading():
    data = stored_data({"data": SECTION, "training_module": {"_target_": "not.looked.at"}})
    assert isinstance(data, ASEDataModule)
    assert data.options.seed == 3


def test_what_came_from_the_environment_is_taken_from_it_again(monkeypatch):
    monkeypatch.setenv("DATA_FOLDER", "/elsewhere")
    data = stored_data({"data": {**SECTION, "train_file_path": "${oc.env:DATA_FOLDER}/train.extxyz"}})
    assert data.source_files() == ["/elsewhere/train.extxyz"]


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({}, "data: is missing in the stored config"),
        ({"data": ["x"]}, "data: is missing"),
        ({"data": {"seed": 1}}, "data: is missing"),
        ({"data": {"_target_": "os.system"}}, "data._target_"),
        ({"data": {**SECTION, "seeed": 1}}, "data.seeed: unknown option"),
    ],
)
def test_what_cannot_be_made_is_refused(config, message):
    with pytest.raises(ConfigError, match=message):
        stored_data(config)
