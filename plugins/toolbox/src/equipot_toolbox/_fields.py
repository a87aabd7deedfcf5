"""Which field a metric compares with which, beyond a field with its own label."""

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
        """Check the fields.

        Raises:
            ConfigError: If one is unknown, or one is per frame and the other per atom.
        """
        pred, target = as_quantity(self.pred_field), as_quantity(self.target_field)
        if pred.per != target.per:
            what = f"{self.pred_field} is per {pred.per} and {self.target_field} per {target.per}"
            raise ConfigError(problem("MappedFieldModifier", what))


@dataclass(frozen=True)
class Comparison:
    """Predicted values and labels of a metric."""

    pred: Any
    """Quantity of the predictions."""

    target: Any
    """Quantity of the labels."""

    name: str
    """What default names of metrics begin with."""

    @property
    def labels(self) -> tuple[str, ...]:
        """Fields that the model must predict and the data must have."""
        return tuple(self.target.requires) if self.pred == self.target else ()


def comparison(field: Any) -> Comparison:
    """What a metric's ``field`` compares.

    Args:
        field: A field's name, ``PerAtomModifier`` or another quantity, or ``MappedFieldModifier``.

    Raises:
        ConfigError: If it is none of them.
    """
    if isinstance(field, MappedFieldModifier):
        name = f"{field.pred_field}_as_{field.target_field}"
        return Comparison(as_quantity(field.pred_field), as_quantity(field.target_field), name)
    quantity = as_quantity(field)
    name = field if isinstance(field, str) else type(quantity).__name__
    if isinstance(quantity, PerAtomModifier):
        name = f"per_atom_{quantity.field.removeprefix('total_')}"
    return Comparison(quantity, quantity, name)
