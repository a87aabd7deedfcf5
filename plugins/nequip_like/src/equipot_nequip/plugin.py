"""What this package declares."""

from __future__ import annotations

from typing import TYPE_CHECKING

from equipot import hookimpl
from equipot.declarations import ModelBuilderEntry

if TYPE_CHECKING:
    from collections.abc import Iterator


@hookimpl
def equipot_model_builders() -> Iterator[ModelBuilderEntry]:
    """Declare the model and its presets."""
    yield ModelBuilderEntry(
        name="NequIPGNNModel",
        target="equipot_nequip.NequIPGNNModel",
        summary="Equivariant message-passing potential (NequIP)",
    )
    yield ModelBuilderEntry(
        name="PresetNequIPGNNModel",
        target="equipot_nequip.PresetNequIPGNNModel",
        summary="NequIPGNNModel in one of the sizes S, M, L, XL",
    )
