"""What both models and configs of nequip have that is not here, or is always the same here."""

from __future__ import annotations

from typing import Any

HINTS = (
    "enable_OpenEquivariance",
    "enable_CuEquivariance",
    "enable_TritonContracter",
    "enable_CuEquivarianceContracter",
)
"""Modifiers that make nequip faster and change no number."""

CHANGES = ("enable_ForceStressOutput", "disable_ForceStressOutput", "modify_PerTypeScaleShift")
"""Modifiers whose effect is in the weights or in ``do_derivatives``."""

IGNORED = ("compile_mode", "_convert_", "_recursive_")
"""Options that say how the peer runs, not what the model is."""

FIXED: dict[str, Any] = {
    "convnet_sc": True,
    "learnable_shift": False,
    "convnet_resnet": False,
    "convnet_nonlinearity_type": "gate",
    "convnet_nonlinearity_scalars": {"e": "silu", "o": "tanh"},
    "convnet_nonlinearity_gates": {"e": "silu", "o": "tanh"},
    "categorical_graph_field_embed": None,
}
"""Options of the peer that have one value here."""
