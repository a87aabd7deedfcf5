import pytest

from equipot.data.options import DataOptions, loader_options
from equipot.errors import ConfigError


def loader(**given):
    return loader_options(given, "data.train_dataloader")


def test_loader_defaults():
    options = loader(batch_size=4)
    assert options.batch_size == 4
    assert options.torch_options() == {
        "num_workers": 0,
        "pin_memory": False,
        "persistent_workers": False,
        "prefetch_factor": None,
    }


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"batchsize": 3}, ["batchsize: unknown option; did you mean 'batch_size'?"]),
        ({"batch_size": 0}, ["batch_size: must be greater than 0, got 0"]),
        ({"batch_size": "5"}, ["batch_size: must be an integer, got '5'"]),
        ({"max_atoms": 5, "batch_size": 1}, ["max_atoms: cannot be given together with batch_size; choose one"]),
        ({"num_workers": -1}, ["num_workers: must be greater than or equal to 0, got -1"]),
        ({"persistent_workers": True}, ["persistent_workers: needs num_workers of at least 1, got True"]),
    ],
)
def test_loader_problems(given, expected):
    with pytest.raises(ConfigError) as caught:
        loader(**given)
    assert caught.value.problems == [f"data.train_dataloader.{text}" for text in expected]


def test_problems_of_labels_and_loaders_come_at_once():
    with pytest.raises(ConfigError) as caught:
        DataOptions(1, labels={"energy": "e"}, val_dataloader={"batch": 1}, test_dataloader={"batch_size": 0})
    assert caught.value.problems == [
        "DataOptions.labels.energy: unknown label; did you mean 'total_energy'?",
        "DataOptions.val_dataloader.batch: unknown option; did you mean 'batch_size'?",
        "DataOptions.test_dataloader.batch_size: must be greater than 0, got 0",
    ]
