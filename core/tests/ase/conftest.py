"""The model that most calculators here evaluate."""

import pytest


@pytest.fixture
def model(make_model):
    """With energies of a size that leaves digits for comparisons."""
    return make_model(per_type_energy_shifts={"C": -10.0, "H": -13.6, "O": -20.0})
