"""What this package declares."""

from __future__ import annotations

from typing import TYPE_CHECKING

from equipot import hookimpl
from equipot.declarations import ModelBuilderEntry, PartEntry

if TYPE_CHECKING:
    from collections.abc import Iterator


@hookimpl
def equipot_model_builders() -> Iterator[ModelBuilderEntry]:
    """Declare the model and its presets."""
    yield ModelBuilderEntry(
        name="AllegroModel",
        target="equipot_allegro.AllegroModel",
        summary="Strictly local equivariant potential (Allegro)",
    )
    yield ModelBuilderEntry(
        name="PresetAllegroModel",
        target="equipot_allegro.PresetAllegroModel",
        summary="AllegroModel in one of the sizes S, M, L",
    )


@hookimpl
def equipot_parts() -> Iterator[PartEntry]:
    """Declare the values of the option ``radial_chemical_embed``."""
    yield PartEntry(
        kind="embedding",
        target="equipot_allegro.TwoBodyBesselScalarEmbed",
        summary="Bessel functions of the length, times a vector for the pair of types",
    )
    yield PartEntry(
        kind="embedding",
        target="equipot_allegro.TwoBodySplineScalarEmbed",
        summary="A trainable spline of the length for each pair of types",
    )
