"""Conformance kit for plugin authors: the laws a plugin must keep, as checks."""

from __future__ import annotations

__all__ = ["KIT_VERSION"]

KIT_VERSION = "1.0"
"""Version of the set of checks: the minor grows with each new check, the major when one gets stricter."""
