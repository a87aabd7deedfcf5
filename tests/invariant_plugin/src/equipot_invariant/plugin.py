"""What this package declares."""

from __future__ import annotations

from typing import TYPE_CHECKING

from equipot import hookimpl
from equipot.declarations import ModelBuilderEntry, PairPotentialEntry

if TYPE_CHECKING:
    from collections.abc import Iterator


@hookimpl
def equipot_model_builders() -> Iterator[ModelBuilderEntry]:
    """Declare the builder."""
    yield ModelBuilderEntry(
        name="InvariantModel",
        target="equipot_invariant.builder.InvariantModel",
        summary="Squashed sums of radial functions, for tests",
    )


@hookimpl
def equipot_pair_potentials() -> Iterator[PairPotentialEntry]:
    """Declare the pair potential."""
    yield PairPotentialEntry(
        name="BoundPairs",
        target="equipot_invariant.bound_pairs.BoundPairs",
        summary="Bound pairs of any element, for tests",
    )
