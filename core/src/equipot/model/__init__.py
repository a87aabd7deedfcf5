"""Models: slots, recipes and the registered model builders.

``equipot.model.NAME`` is every registered builder too; a missing one says what to install.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from equipot.model.components import (
        AnalyticPairPotential,
        Derivatives,
        EdgeSetGradient,
        EnergyGradients,
        EnergyModule,
        EnergyTerm,
        EnergyTermModule,
        PairEnergy,
        PairPotential,
    )
    from equipot.model.context import BuildContext, ModelInfo, pair_index
    from equipot.model.from_file import ModelFromCheckpoint, ModelFromPackage
    from equipot.model.function_builder import builder
    from equipot.model.graph_model import AppliedModifier, GraphModel
    from equipot.model.modification import modify
    from equipot.model.recipe import ModelBuilder, ModelRecipe
    from equipot.model.scale_shift import ScaleShift

_HOME = {
    "recipe": ("ModelBuilder", "ModelRecipe"),
    "components": (
        "AnalyticPairPotential",
        "Derivatives",
        "EdgeSetGradient",
        "EnergyGradients",
        "EnergyModule",
        "EnergyTerm",
        "EnergyTermModule",
        "PairEnergy",
        "PairPotential",
    ),
    "context": ("BuildContext", "ModelInfo", "pair_index"),
    "from_file": ("ModelFromCheckpoint", "ModelFromPackage"),
    "function_builder": ("builder",),
    "graph_model": ("AppliedModifier", "GraphModel"),
    "modification": ("modify",),
    "scale_shift": ("ScaleShift",),
}
_PUBLIC = {name: module for module, names in _HOME.items() for name in names}

__all__ = [
    "AnalyticPairPotential",
    "AppliedModifier",
    "BuildContext",
    "Derivatives",
    "EdgeSetGradient",
    "EnergyGradients",
    "EnergyModule",
    "EnergyTerm",
    "EnergyTermModule",
    "GraphModel",
    "ModelBuilder",
    "ModelFromCheckpoint",
    "ModelFromPackage",
    "ModelInfo",
    "ModelRecipe",
    "PairEnergy",
    "PairPotential",
    "ScaleShift",
    "builder",
    "modify",
    "pair_index",
]


def __getattr__(name: str) -> Any:
    if name in _PUBLIC:
        return getattr(importlib.import_module(f"equipot.model.{_PUBLIC[name]}"), name)
    from equipot.plugins import registered_attribute

    return registered_attribute("model_builders", __name__, name)
