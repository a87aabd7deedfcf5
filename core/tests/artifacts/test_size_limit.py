import gc

import pytest
import torch

from equipot.artifacts import load_model
from equipot.artifacts._rebuild import options_from_config
from equipot.artifacts._size_limit import SizeLimit
from equipot.errors import ArtifactError
from equipot.model import InvariantModel
from equipot_test_support.forgery import Forgery

MUCH_LARGER = "a.zip: the options in its config ask for a model much larger than the weights that it holds"


def endless_layers():
    return torch.nn.ModuleList(torch.nn.Linear(2, 2) for _ in range(10**9))


def endless_tables():
    module = torch.nn.Module()
    for index in range(10**9):
        module.register_buffer(f"table_{index}", torch.zeros(2**20))


def endless_operations():
    value = torch.zeros(1)
    while True:
        value = value + 1


@pytest.mark.parametrize(
    "hostile",
    [
        lambda: torch.randn((10**9, 10**3), generator=torch.Generator()),
        lambda: torch.zeros(10**12),
        lambda: torch.full((10**6, 10**6), 1.0),
        lambda: torch.nn.Linear(10**7, 10**7),
        lambda: torch.ones(10**4).expand(10**6, 10**4),
        endless_layers,
        endless_tables,
        pytest.param(endless_operations, marks=pytest.mark.slow),
    ],
)
def test_nothing_much_larger_than_the_stored_tensors_is_made(hostile):
    with pytest.raises(ArtifactError, match=MUCH_LARGER), SizeLimit({"w": torch.zeros(10)}, "a.zip"):
        hostile()
    assert torch.nn.Linear(2, 2).weight.shape == (2, 2)  # nothing is counted any more


def test_nothing_is_counted_afterwards():
    with pytest.raises(ArtifactError, match=MUCH_LARGER), SizeLimit({"w": torch.zeros(10)}, "a.zip"):
        endless_layers()
    gc.collect()
    assert torch.nn.Linear(2, 2).weight.shape == (2, 2)


def test_what_fits_the_stored_tensors_is_the_same_as_without_limit():
    made = [InvariantModel(type_names=["H", "C"], r_max=3.0).build()]
    with SizeLimit(made[0].state_dict(), "a.zip"):
        made.append(InvariantModel(type_names=["H", "C"], r_max=3.0).build())
    for key, value in made[0].state_dict().items():
        assert torch.equal(value, made[1].state_dict()[key])


def test_options_of_a_stored_model_are_bounded(package_file):
    for name, value, message in (
        ("num_channels", 10**6, "num_channels: must be less than or equal to 4096, got 1000000"),
        ("type_names", [f"X{number}" for number in range(1001)], "type_names: List should have at most 1000 items"),
        ("seed", 2**64 - 1, None),
    ):
        forgery = Forgery(package_file)
        forgery.path = package_file.with_name("b.equipot.zip")
        forgery.config[name] = value
        forgery.write()
        if message is None:
            load_model(forgery.path)
        else:
            with pytest.raises(ArtifactError, match=message):
                load_model(forgery.path)


def test_an_option_without_a_bound_gets_one():
    config = {"_target_": "equipot.model.InvariantModel", "type_names": ["H"], "r_max": 4.0}
    options_from_config({**config, "num_channels": 4000})
    with pytest.raises(ArtifactError, match=r"model.r_max: must be at most 1000000, unless .*, got 1000001"):
        options_from_config({**config, "r_max": 1_000_001})
