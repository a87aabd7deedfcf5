"""Fixtures of the whole repository's tests; they lie in ``tests/support``."""

import os

import torch

os.environ.setdefault("EQUIPOT_AUTOMATIC_MODIFIERS", "0")  # tests that are about them switch them on

pytest_plugins = ["equipot_test_support.fixtures"]

torch.serialization.add_safe_globals([slice])  # e3nn 0.4, which some tests import, loads its tables with torch.load
