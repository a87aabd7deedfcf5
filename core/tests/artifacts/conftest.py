"""Frames for the model of ``make_model``."""

import pytest

from equipot.artifacts import _golden as golden
from equipot.graph import collate


@pytest.fixture
def info(make_model):
    return make_model().info


@pytest.fixture
def batch(info):
    return collate(list(golden.random_frames(info, 5).values()))
