"""Stresses of single atoms, which need the gradients of the energy by edge vectors."""

from __future__ import annotations

from typing import Any

import numpy as np
from ase.stress import full_3x3_to_voigt_6_stress

from equipot.artifacts._compiled_model import CompiledModel
from equipot.graph import Graph
from equipot.model._edge_forces import atomic_virials, edge_force_refusals, with_edge_forces
from equipot.model._graph_model import GraphModel


def stresses_refusal(model: GraphModel | CompiledModel) -> str:
    """Why a model has no stresses of atoms; empty if it has."""
    if "stress" not in model.info.outputs:
        return "it gives no stress"
    if isinstance(model, GraphModel):
        return "; ".join(edge_force_refusals(model))
    what = "the compiled file gives no edge forces: its model cannot, or an older equipot compiled it"
    return "" if "edge_forces" in model.info.outputs else what


def edge_force_model(model: GraphModel | CompiledModel) -> GraphModel | CompiledModel:
    """The model with edge forces; a compiled one has them."""
    return with_edge_forces(model) if isinstance(model, GraphModel) else model


def atomic_stresses(frame: Graph, outputs: Graph, factor: float) -> np.ndarray[Any, Any]:
    """Stress of each atom as ASE defines it: their sum is the stress of the frame.

    Args:
        frame: A periodic frame whose cell has a volume.
        outputs: Of a model with edge forces.
        factor: The model's unit of energy in eV.

    Returns:
        In eV/Å³, positive under tension, in Voigt's order, shape [n_atoms, 6].
    """
    volume = float(frame["cell"][0].det().abs())
    tensors = atomic_virials(frame, outputs).numpy() * (-factor / volume)
    stresses: np.ndarray[Any, Any] = full_3x3_to_voigt_6_stress(tensors)
    return stresses
