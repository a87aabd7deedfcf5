import math

import pytest
import torch

from equipot.errors import ConfigError
from equipot.model._scale_shift import ScaleShift, neighbors_per_type

TYPES = torch.tensor([1, 0, 1])
STATISTIC = "${training_data_stats:num_neighbors_mean}"
WHERE = "per_type_energy_shifts"
ENERGY = torch.tensor([1.0, 2.0, 3.0])


def test_defaults_change_nothing():
    assert ScaleShift(["H", "C"])(ENERGY, TYPES).tolist() == [1.0, 2.0, 3.0]


def test_result_is_float64():
    assert ScaleShift(["H", "C"])(ENERGY, TYPES).dtype == torch.float64


def test_values_by_type_follow_the_order_of_type_names():
    module = ScaleShift(["H", "C"], scales={"C": 10.0, "H": 2.0}, shifts={"H": -1.0, "C": -5.0})
    assert module(ENERGY, TYPES).tolist() == [5.0, 3.0, 25.0]
    assert module.values("scales") == {"H": 2.0, "C": 10.0}


def test_one_value_is_kept_as_one_number():
    module = ScaleShift(["H", "C"], scales=3.0, shifts=1.0)
    assert module.scales.shape == (1,)
    assert module(ENERGY, TYPES).tolist() == [4.0, 7.0, 10.0]
    assert module.values("shifts") == {"H": 1.0, "C": 1.0}


def test_trainable_values_are_parameters_for_each_type():
    module = ScaleShift(["H", "C"], scales=3.0, scales_trainable=True)
    assert [name for name, _ in module.named_parameters()] == ["scales"]
    assert module.scales.shape == (2,)
    module(ENERGY, TYPES).sum().backward()
    assert module.scales.grad.tolist() == [2.0, 4.0]


def test_zero_energy_gives_exactly_the_shift():
    module = ScaleShift(["H", "C"], scales={"H": 1e8, "C": 0.1}, shifts={"H": -13.6, "C": -1027.6})
    assert module(torch.zeros(3), TYPES).tolist() == [-1027.6, -13.6, -1027.6]


@pytest.mark.parametrize(
    ("values", "messages"),
    [
        (
            {"H": 1.0},
            [f"{WHERE}: no value for the types ['C'], got {{'H': 1.0}}; give one for each of ['H', 'C']"],
        ),
        ({"H": 1.0, "C": 1.0, "c": 2.0}, [f"{WHERE}.c: unknown type name; did you mean 'C'?"]),
    ],
)  # fmt: skip
def test_keys_are_checked_both_ways(values, messages):
    with pytest.raises(ConfigError) as caught:
        ScaleShift(["H", "C"], shifts=values)
    assert caught.value.problems == messages


@pytest.mark.parametrize(("value", "expected"), [(8.0, [8.0, 8.0]), ({"O": 3.0, "H": 2.0}, [2.0, 3.0])])
def test_numbers_of_neighbours_are_given_for_all_types_or_each(value, expected):
    found = neighbors_per_type(value, ["H", "O"])
    assert (found.tolist(), found.dtype) == (expected, torch.float64)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (None, f"required option is missing; write {STATISTIC}, or a number, or one for each type"),
        (0.0, "must be greater than 0, got 0.0"),
        (math.nan, "must be greater than 0, got nan"),
        ({"H": 2.0}, "no value for the types ['O'], got {'H': 2.0}; give one for each of ['H', 'O']"),
    ],
)
def test_numbers_of_neighbours_are_required_and_positive(value, message):
    with pytest.raises(ConfigError) as error:
        neighbors_per_type(value, ["H", "O"])
    assert error.value.problems == [f"avg_num_neighbors: {message}"]


def test_a_number_of_neighbours_for_an_unknown_type():
    with pytest.raises(ConfigError) as error:
        neighbors_per_type({"H": 2.0, "C": 3.0, "O": 1.0}, ["H", "O"])
    assert error.value.problems == ["avg_num_neighbors.C: unknown type name; type names: H, O"]
