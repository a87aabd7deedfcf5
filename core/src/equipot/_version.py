"""The version of all first-party distributions, which are released together."""

__version__ = "0.1.0"
