"""Quantities: what training compares, statistics average and tables report, with masks, atoms and units in one place.

A quantity gives the values of a batch, says per what they are, and which of them are absent.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import ClassVar, NamedTuple, Protocol

import torch

from equipot.errors import ConfigError, problem, unknown
from equipot.fields import FIELDS, LABELS, PerWhat, mask_key
from equipot.graph import Graph, compute_edge_vectors, per_what
from equipot.units import UNIT_SYSTEMS, Units


class Values(NamedTuple):
    """Values of a batch."""

    rows: torch.Tensor
    """float64, first axis per frame, atom or edge."""

    present: torch.Tensor
    """True where a row counts, bool, shape [n_rows]."""


class Quantity(Protocol):
    """Something with values in a batch, such as a field or a number of neighbours."""

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
class FieldValues(Quantity):
    """A field as it is, e.g. ``forces``."""

    field: str

    def __post_init__(self) -> None:
        """Check the name.

        Raises:
            ConfigError: If there is no such field.
        """
        if self.field not in FIELDS:
            raise ConfigError(unknown("statistics.field", self.field, FIELDS, "field"))

    @property
    def per(self) -> PerWhat:
        """Per what the field is."""
        return per_what(self.field)

    @property
    def requires(self) -> tuple[str, ...]:
        """The field."""
        return (self.field,)

    def values(self, batch: Graph) -> Values | None:
        """The field's rows, and where its mask says that they are present."""
        if self.field not in batch:
            return None
        rows = batch[self.field].to(torch.float64)
        present = batch.get(mask_key(self.field), torch.ones(rows.shape[0], dtype=torch.bool, device=rows.device))
        return Values(self.scaled(rows, batch), present)

    def scaled(self, rows: torch.Tensor, batch: Graph) -> torch.Tensor:
        """Rows of the field, or their differences, as the quantity has them."""
        return rows


@dataclass(frozen=True)
class PerAtomModifier(FieldValues):
    """A quantity per frame divided by the frame's number of atoms.

    Args:
        field: A field per frame, e.g. ``total_energy``.
        factor: Multiplies the result.
    """

    factor: float | None = None

    def __post_init__(self) -> None:
        """Check the field.

        Raises:
            ConfigError: If it is unknown or not per frame.
        """
        super().__post_init__()
        if self.per != "frame":
            raise ConfigError(problem("PerAtomModifier.field", "must be a field per frame", got=self.field))

    def scaled(self, rows: torch.Tensor, batch: Graph) -> torch.Tensor:
        """Rows divided by the number of atoms, times the factor."""
        per_atom = rows / batch["num_atoms"].reshape(-1, *[1] * (rows.dim() - 1)).to(rows.dtype)
        return per_atom if self.factor is None else per_atom * self.factor


@dataclass(frozen=True)
class NumNeighbors(Quantity):
    """Number of neighbours of each atom: edges whose centre it is."""

    per: ClassVar[PerWhat] = "atom"
    requires: ClassVar[tuple[str, ...]] = ("edge_index",)

    def values(self, batch: Graph) -> Values:
        """Counts, zero for atoms without neighbours at any place in the frame."""
        n_atoms = batch["positions"].shape[0]
        counts = torch.bincount(batch["edge_index"][0], minlength=n_atoms).to(torch.float64)
        return Values(counts, torch.ones(n_atoms, dtype=torch.bool))


@dataclass(frozen=True)
class EdgeLengths(Quantity):
    """Length of each edge in Å."""

    per: ClassVar[PerWhat] = "edge"
    requires: ClassVar[tuple[str, ...]] = ("edge_index",)

    def values(self, batch: Graph) -> Values:
        """Lengths, shape [n_edges]."""
        keys = ("positions", "cell", "edge_index", "edge_cell_shift", "batch")
        lengths = torch.linalg.vector_norm(compute_edge_vectors(*(batch[key] for key in keys)), dim=-1)
        return Values(lengths, torch.ones(lengths.shape[0], dtype=torch.bool))


def as_quantity(field: str | Quantity) -> Quantity:
    """The quantity itself, or the values of the field with that name.

    Raises:
        ConfigError: If the name is unknown or the object gives no values.
    """
    if isinstance(field, str):
        return FieldValues(field)
    if not callable(getattr(field, "values", None)):
        raise ConfigError(problem("statistics.field", "must be a field name or a quantity", got=field))
    return field


# ------------------------------------------------------------------ predictions against labels


class Compared(NamedTuple):
    """Predictions and labels of a batch."""

    predictions: torch.Tensor
    """float64, shape [n, …]."""

    labels: torch.Tensor
    """The same shape; what is absent holds any number."""

    present: torch.Tensor
    """True where there are both, bool, shape [n]."""


def compare(
    predicted: Quantity, labelled: Quantity, outputs: Graph, batch: Graph, *, ignore_nan: bool = False
) -> Compared | None:
    """Predictions and labels of a quantity, and where both exist.

    Args:
        predicted: Quantity of the predictions.
        labelled: Quantity of the labels, mostly the same one.
        outputs: Of the model.
        batch: With labels and, where some are absent, ``<label>_mask``.
        ignore_nan: Count NaN in labels as absent.

    Returns:
        None if the batch has no such label or the model gives no such prediction.
    """
    if any(name in LABELS and name not in outputs for name in predicted.requires):
        return None
    ours, theirs = predicted.values({**batch, **outputs}), labelled.values(batch)
    if ours is None or theirs is None:
        return None
    present = ours.present & theirs.present
    if ignore_nan:
        present = present & ~theirs.rows.isnan().reshape(theirs.rows.shape[0], -1).any(1)
    return Compared(ours.rows, theirs.rows, present)


def prediction_errors(
    quantity: FieldValues, outputs: Graph, batch: Graph, *, ignore_nan: bool = False
) -> tuple[torch.Tensor, torch.Tensor] | None:
    """Prediction minus label, and where both exist.

    The difference is taken before it is divided by the number of atoms: total energies are large, their errors small.

    Args:
        quantity: What to compare.
        outputs: Of the model.
        batch: With the label and, where some are absent, ``<label>_mask``.
        ignore_nan: Count NaN in labels as absent.

    Returns:
        Errors of shape [n, …], 0 where there is no label, and the mask [n]; None as ``compare``. Absent labels are
        never read.
    """
    field = FieldValues(quantity.field)
    found = compare(field, field, outputs, batch, ignore_nan=ignore_nan)
    if found is None:
        return None
    wide = found.present.reshape(-1, *[1] * (found.labels.dim() - 1))
    difference = torch.where(wide, found.predictions, 0.0) - torch.where(wide, found.labels, 0.0)
    return quantity.scaled(difference, batch), found.present


COMPARED: dict[str, FieldValues] = {
    "total_energy": FieldValues("total_energy"),
    "per_atom_energy": PerAtomModifier("total_energy"),
    "forces": FieldValues("forces"),
    "stress": FieldValues("stress"),
}
"""What losses and metrics compare, by the first part of the names of their terms."""


@dataclass(frozen=True)
class Reported:
    """A quantity in tables of errors."""

    name: str
    """As in ``COMPARED``."""

    title: str
    """Heading of its column."""

    unit: str
    """Unit shown."""

    suffix: str
    """The unit within names of numbers."""


REPORTED = (
    Reported("per_atom_energy", "energy", "meV/atom", "mev"),
    Reported("forces", "forces", "meV/Å", "mev_per_angstrom"),
    Reported("stress", "stress", "meV/Å³", "mev_per_angstrom3"),
)


def in_mev(units: Units) -> float:
    """Factor from the energies of a unit system to meV, for every quantity that is reported."""
    return 1000.0 * UNIT_SYSTEMS[units].energy_in_ev
