"""Energy shifts that a config gives as numbers."""

import pytest

from equipot.config._shifts import given_shifts


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        ({"per_type_energy_shifts": {"H": -13, "O": -2040.5}}, {"H": -13.0, "O": -2040.5}),
        ({"type_names": ["H", "O"], "per_type_energy_shifts": [-13.0, -2040.0]}, {"H": -13.0, "O": -2040.0}),
        ({"modifiers": [], "model": {"per_type_energy_shifts": {"H": 1.0}}}, {"H": 1.0}),
        ({"per_type_energy_shifts": {"H": -13.0, "O": object()}}, None),
        ({"per_type_energy_shifts": object()}, None),
        ({"per_type_energy_shifts": None}, None),
        ({}, None),
        (None, None),
    ],
)
def test_numbers_only(model, expected):
    assert given_shifts({"training_module": {"model": model}}) == expected


def test_no_training_module():
    assert given_shifts({"data": {}}) is None
