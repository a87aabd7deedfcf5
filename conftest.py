"""Fixtures of the whole repository's tests; they lie in ``tests/support``."""

import gc
import os

import torch

os.environ.setdefault("EQUIPOT_AUTOMATIC_MODIFIERS", "0")  # tests that are about them switch them on

pytest_plugins = ["equipot_test_support.fixtures"]

torch.serialization.add_safe_globals([slice])  # e3nn 0.4, which some tests import, loads its tables with torch.load


def pytest_configure() -> None:
    """Search for no garbage while tests are collected: thousands of objects come and none goes."""
    gc.disable()


def pytest_collection_finish() -> None:
    """From here on collect again, but do not look at what was there before."""
    gc.freeze()
    gc.enable()
