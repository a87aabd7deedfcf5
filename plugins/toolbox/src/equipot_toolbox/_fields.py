"""Which predicted field a metric compares with which label."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from equipot.data import PerAtomModifier, as_quantity
from equipot.errors import ConfigError, problem


@dataclass(frozen=True)
class MappedFieldModifier:
    """Compares a predicted field with a label of another name.

    Args:
        pred_field: Field that the model predicts.
        target_field: Label in the data.
    """

    pred_field: str
    target_field: str

    def __post_init__(self) -> None:
        """Refuse fields that are unknown or not comparable.

        Raises:
            ConfigError: If a field is unknown, or one is per frame and the other per atom.
        """
        pred, target = as_quantity(self.pred_field), as_quantity(self.target_field)
        if pred.per != target.per:
            what = f"{self.pred_field} is per {pred.per} and {self.target_field} per {target.per}"
            raise ConfigError(problem("MappedFieldModifier", what))


@dataclass(frozen=True)
class Comparison:
    """The predictions and labels that a metric compares."""

    pred: Any
    """Quantity of the predictions."""

    target: Any
    """Quantity of the labels."""

    name: str
    """Beginning of the default names of metrics."""

    @property
    def labels(self) -> tuple[str, ...]:
        """Fields that the model must predict and the data must have."""
        return tuple(self.target.requires) if self.pred == self.target else ()


def comparison(field: Any) -> Comparison:
    """The comparison for a metric's ``field``.

    Args:
        field: A field's name, ``PerAtomModifier`` or another quantity, or ``MappedFieldModifier``.

    Raises:
        ConfigError: If it is something else.
    """
    if isinstance(field, MappedFieldModifier):
        name = f"{field.pred_field}_as_{field.target_field}"
        return Comparison(as_quantity(field.pred_field), as_quantity(field.target_field), name)
    quantity = as_quantity(field)
    name = field if isinstance(field, str) else type(quantity).__name__
    if isinstance(quantity, PerAtomModifier):
        name = f"per_atom_{quantity.field.removeprefix('total_')}"
    return Comparison(quantity, quantity, name)
