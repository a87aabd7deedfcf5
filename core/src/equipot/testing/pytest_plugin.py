"""Fixtures of the conformance kit, loaded by pytest through the entry point ``pytest11``."""
