"""What builders say of wrong options."""

import math

import pytest

from equipot.errors import ConfigError

WRONG_NEIGHBOR_NUMBERS = [
    (
        {"avg_num_neighbors": None},
        (
            "avg_num_neighbors: required option is missing; "
            "write ${training_data_stats:num_neighbors_mean}, or a number, or one for each type"
        ),
    ),
    ({"avg_num_neighbors": 0.0}, "avg_num_neighbors: must be greater than 0, got 0.0"),
    ({"avg_num_neighbors": math.nan}, "avg_num_neighbors: must be greater than 0, got nan"),
    (
        {"avg_num_neighbors": {"H": 2.0, "C": 3.0, "O": 1.0}},
        "avg_num_neighbors.C: unknown type name; type names: H, O",
    ),
    (
        {"avg_num_neighbors": {"H": 2.0}},
        "avg_num_neighbors: no value for the types ['O'], got {'H': 2.0}; give one for each of ['H', 'O']",
    ),
]
"""Options and the problem with each, for every builder with ``avg_num_neighbors`` and the types H and O."""


def options_checked(builder, options):
    """A function that gives the problems of a builder with changed options: ``error_of(l_max=-1)``."""

    def error_of(**changes):
        with pytest.raises(ConfigError) as error:
            builder(**{**options, **changes})
        return [line.removeprefix(f"{builder.__name__}.") for line in error.value.problems]

    return error_of
