"""Fixtures of the whole repository's tests; they lie in ``tests/support``."""

import torch

pytest_plugins = ["equipot_test_support.fixtures"]

torch.serialization.add_safe_globals([slice])  # e3nn 0.4, which some tests import, loads its tables with torch.load
