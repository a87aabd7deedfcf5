"""Compile models for engines: export of energy and derivatives, then AOTInductor."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from equipot.compile.aotinductor import compile_model
    from equipot.compile.compiled import CompiledModel, load_compiled
    from equipot.compile.export import export_model

_HOME = {
    "CompiledModel": "compiled",
    "compile_model": "aotinductor",
    "export_model": "export",
    "load_compiled": "compiled",
}

__all__ = ["CompiledModel", "compile_model", "export_model", "load_compiled"]


def __getattr__(name: str) -> Any:
    """Import on first use."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"equipot.compile.{_HOME[name]}"), name)
