"""Artifacts: checkpoints, packages and compiled files. Every file is untrusted data."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from equipot.artifacts.checkpoint import read_checkpoint
    from equipot.artifacts.loading import load, load_model, verify
    from equipot.artifacts.manifest import Manifest
    from equipot.artifacts.package import read_package, write_package
    from equipot.artifacts.report import inspect_file

_HOME = {
    "Manifest": "manifest",
    "inspect_file": "report",
    "load": "loading",
    "load_model": "loading",
    "read_checkpoint": "checkpoint",
    "read_package": "package",
    "verify": "loading",
    "write_package": "package",
}

__all__ = [
    "Manifest",
    "inspect_file",
    "load",
    "load_model",
    "read_checkpoint",
    "read_package",
    "verify",
    "write_package",
]


def __getattr__(name: str) -> Any:
    """Import on first use: reading a manifest needs no torch."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"equipot.artifacts.{_HOME[name]}"), name)
