"""The modifiers ``enable_ForceStressOutput`` and ``disable_ForceStressOutput``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from equipot_force_stress._derivatives import ForceStress

if TYPE_CHECKING:
    from equipot.model import GraphModel


def enable_ForceStressOutput(model: GraphModel) -> GraphModel:  # noqa: N802 - the field's spelling
    """Add forces, stress and virial to a model.

    Args:
        model: Any model.

    Returns:
        The model with forces, or the same model if it has them already.
    """
    if isinstance(model.derivatives, ForceStress):
        return model
    return model.replace(derivatives=ForceStress())


def disable_ForceStressOutput(model: GraphModel) -> GraphModel:  # noqa: N802 - the field's spelling
    """Remove forces, stress and virial from a model, which then predicts energies only.

    Args:
        model: Any model.

    Returns:
        The model without derivatives, or the same model if it has none.
    """
    return model if model.derivatives is None else model.replace(derivatives=None)
