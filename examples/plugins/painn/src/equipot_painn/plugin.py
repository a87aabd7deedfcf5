"""What this package declares."""

from __future__ import annotations

from typing import TYPE_CHECKING

from equipot import hookimpl
from equipot.declarations import ModelBuilderEntry

if TYPE_CHECKING:
    from collections.abc import Iterator


@hookimpl
def equipot_model_builders() -> Iterator[ModelBuilderEntry]:
    """Declare the builder."""
    yield ModelBuilderEntry(
        name="PaiNNModel",
        target="equipot_painn.builder.PaiNNModel",
        summary="Scalars and vectors exchanged between neighbours (PaiNN-like)",
    )
