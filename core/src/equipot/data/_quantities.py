"""Quantities that statistics are taken of: a field, an energy per atom, neighbours, edge lengths.

Each gives the values of a batch, says per what they are, and which of them are masked out.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import Protocol

import torch

from equipot.errors import ConfigError, did_you_mean, problem
from equipot.fields import FIELDS, PerWhat, mask_key
from equipot.graph import Graph, compute_edge_vectors, per_what


@dataclass(frozen=True)
class Values:
    """Values of a batch."""

    rows: torch.Tensor
    """float64, first axis per frame, atom or edge."""

    present: torch.Tensor
    """True where a row counts, bool, shape [n_rows]."""


class Quantity(Protocol):
    """What stands as ``field`` in a statistic."""

    @property
    def per(self) -> PerWhat:
        """Per frame, atom or edge."""
        ...

    @property
    def requires(self) -> tuple[str, ...]:
        """Fields it reads."""
        ...

    @abstractmethod
    def values(self, batch: Graph) -> Values | None:
        """Its values in a batch (or single frame), None if the field is absent."""
        ...


@dataclass(frozen=True)
class FieldValues:
    """A field as it stands, e.g. ``forces``."""

    field: str

    def __post_init__(self) -> None:
        """Check the name.

        Raises:
            ConfigError: If there is no such field.
        """
        if self.field not in FIELDS:
            hint = did_you_mean(self.field, FIELDS) or "fields are listed in equipot.fields"
            raise ConfigError(problem("statistics.field", "unknown field", got=self.field, hint=hint))

    @property
    def per(self) -> PerWhat:
        """Per what the field is."""
        return per_what(self.field)

    @property
    def requires(self) -> tuple[str, ...]:
        """The field."""
        return (self.field,)

    def values(self, batch: Graph) -> Values | None:
        """The field's rows."""
        if self.field not in batch:
            return None
        rows = batch[self.field].to(torch.float64)
        present = batch.get(mask_key(self.field), torch.ones(rows.shape[0], dtype=torch.bool, device=rows.device))
        return Values(rows, present)


@dataclass(frozen=True)
class PerAtomModifier(Quantity):
    """A quantity per frame divided by the frame's number of atoms.

    Args:
        field: A field per frame, e.g. ``total_energy``.
        factor: Multiplies the result.
    """

    field: str
    factor: float | None = None

    def __post_init__(self) -> None:
        """Check the field.

        Raises:
            ConfigError: If it is unknown or not per frame.
        """
        if FieldValues(self.field).per != "frame":
            raise ConfigError(problem("PerAtomModifier.field", "must be a field per frame", got=self.field))

    @property
    def per(self) -> PerWhat:
        """One value a frame."""
        return "frame"

    @property
    def requires(self) -> tuple[str, ...]:
        """The field."""
        return (self.field,)

    def values(self, batch: Graph) -> Values | None:
        """Field divided by the number of atoms."""
        found = FieldValues(self.field).values(batch)
        if found is None:
            return None
        n_atoms = batch["num_atoms"].to(torch.float64).reshape(-1, *[1] * (found.rows.ndim - 1))
        return Values(found.rows / n_atoms * (1.0 if self.factor is None else self.factor), found.present)


@dataclass(frozen=True)
class NumNeighbors(Quantity):
    """Number of neighbours of each atom: edges whose centre it is."""

    @property
    def per(self) -> PerWhat:
        """One value an atom."""
        return "atom"

    @property
    def requires(self) -> tuple[str, ...]:
        """The edges."""
        return ("edge_index",)

    def values(self, batch: Graph) -> Values:
        """Counts, zero for atoms without neighbours wherever they stand in the frame."""
        n_atoms = batch["positions"].shape[0]
        counts = torch.bincount(batch["edge_index"][0], minlength=n_atoms).to(torch.float64)
        return Values(counts, torch.ones(n_atoms, dtype=torch.bool))


@dataclass(frozen=True)
class EdgeLengths(Quantity):
    """Length of each edge in Å."""

    @property
    def per(self) -> PerWhat:
        """One value an edge."""
        return "edge"

    @property
    def requires(self) -> tuple[str, ...]:
        """The edges."""
        return ("edge_index",)

    def values(self, batch: Graph) -> Values:
        """Lengths, shape [n_edges]."""
        keys = ("positions", "cell", "edge_index", "edge_cell_shift", "batch")
        lengths = torch.linalg.vector_norm(compute_edge_vectors(*(batch[key] for key in keys)), dim=-1)
        return Values(lengths, torch.ones(lengths.shape[0], dtype=torch.bool))


def as_quantity(field: str | Quantity) -> Quantity:
    """A field's name stands for its values.

    Raises:
        ConfigError: If the name is unknown or the object gives no values.
    """
    if isinstance(field, str):
        return FieldValues(field)
    if not callable(getattr(field, "values", None)):
        raise ConfigError(problem("statistics.field", "must be a field name or a quantity", got=field))
    return field
