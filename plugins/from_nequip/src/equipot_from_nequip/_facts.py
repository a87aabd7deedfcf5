"""Options and modifiers of nequip's models and configs that equipot does not have, or that are fixed here."""

from __future__ import annotations

from typing import Any

HINTS = (
    "enable_OpenEquivariance",
    "enable_CuEquivariance",
    "enable_TritonContracter",
    "enable_CuEquivarianceContracter",
)
"""Modifiers that make nequip faster without changing results."""

CHANGES = ("enable_ForceStressOutput", "disable_ForceStressOutput", "modify_PerTypeScaleShift")
"""Modifiers whose effect is in the weights or in ``do_derivatives``."""

IGNORED = ("compile_mode", "_convert_", "_recursive_")
"""Options about how nequip runs, which do not change the model."""

FIXED: dict[str, Any] = {
    "convnet_sc": True,
    "learnable_shift": False,
    "convnet_resnet": False,
    "convnet_nonlinearity_type": "gate",
    "convnet_nonlinearity_scalars": {"e": "silu", "o": "tanh"},
    "convnet_nonlinearity_gates": {"e": "silu", "o": "tanh"},
    "categorical_graph_field_embed": None,
}
"""Options of nequip that have a fixed value here."""
