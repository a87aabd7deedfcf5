"""Labelled frames for files of them."""

import numpy as np
import pytest
from ase.build import bulk, molecule

from equipot_test_support.datasets import labelled


@pytest.fixture
def frames():
    """Molecules of three kinds and a periodic cell, so that labels and sizes differ."""
    random = np.random.default_rng(0)
    kinds = [molecule("CH4"), molecule("H2O"), molecule("CO2"), bulk("Cu", "fcc", a=3.6, cubic=True)]
    return [labelled(kinds[index % 4], random) for index in range(12)]


@pytest.fixture
def molecules():
    """Six frames of methane."""
    random = np.random.default_rng(0)
    return [labelled(molecule("CH4"), random) for _ in range(6)]
