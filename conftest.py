"""Fixtures of the whole repository's tests; they lie in ``tests/support``."""

pytest_plugins = ["equipot_test_support.fixtures"]
