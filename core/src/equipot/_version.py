"""The one version string of all first-party distributions (they are released in lockstep)."""

__version__ = "0.1.0"
