"""Quantities that training compares, statistics average and tables report, with their masks and units.

A quantity gives values for a batch, says whether they are per frame, atom or edge, and which of them are absent.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import ClassVar, NamedTuple, Protocol

import torch

from equipot.errors import ConfigError, problem, unknown
from equipot.fields import FIELDS, LABELS, PerWhat, mask_key, weight_key
from equipot.graph import Graph, compute_edge_vectors, per_what
from equipot.units import UNIT_SYSTEMS, Units


class Values(NamedTuple):
    """Values of a quantity in a batch."""

    rows: torch.Tensor
    """float64; the first axis is per frame, atom or edge."""

    present: torch.Tensor
    """True where a row counts, bool, shape [n_rows]."""

    weights: torch.Tensor | None = None
    """How much each row counts in means, float64, shape [n_rows]; None: all alike."""

    def weights_of(self, chosen: torch.Tensor) -> torch.Tensor | None:
        """Weights of the chosen rows (bool, shape [n_rows]); None if all are 1, which gives the numbers without any."""
        if self.weights is None or not chosen.any() or bool((self.weights[chosen] == 1.0).all()):
            return None
        return self.weights[chosen]


class Quantity(Protocol):
    """Anything that has values in a batch, such as a field or the number of neighbours."""

    @property
    def per(self) -> PerWhat:
        """Whether values are per frame, atom or edge."""
        ...

    @property
    def requires(self) -> tuple[str, ...]:
        """Fields that it reads."""
        ...

    @abstractmethod
    def values(self, batch: Graph) -> Values | None:
        """Values in a batch or a single frame; None if the field is absent."""
        ...


@dataclass(frozen=True)
class FieldValues(Quantity):
    """A field as it is, e.g. ``forces``."""

    field: str

    def __post_init__(self) -> None:
        """Refuse unknown fields."""
        if self.field not in FIELDS:
            raise ConfigError(unknown("statistics.field", self.field, FIELDS, "field"))

    @property
    def per(self) -> PerWhat:
        """Whether the field is per frame, atom or edge."""
        return per_what(self.field)

    @property
    def requires(self) -> tuple[str, ...]:
        """The field."""
        return (self.field,)

    def values(self, batch: Graph) -> Values | None:
        """Rows of the field, and which of them its mask marks as present."""
        if self.field not in batch:
            return None
        rows = batch[self.field].to(torch.float64)
        present = batch.get(mask_key(self.field), torch.ones(rows.shape[0], dtype=torch.bool, device=rows.device))
        return Values(self.scaled(rows, batch), present, batch.get(weight_key(self.field)))

    def scaled(self, rows: torch.Tensor, batch: Graph) -> torch.Tensor:
        """Convert rows of the field, or differences of them, to the quantity; here they are the same."""
        return rows


@dataclass(frozen=True)
class PerAtomModifier(FieldValues):
    """A field per frame divided by the frame's number of atoms.

    Args:
        field: A field per frame, e.g. ``total_energy``.
        factor: Number to multiply the result with.
    """

    factor: float | None = None

    def __post_init__(self) -> None:
        """Refuse fields that are unknown or not per frame."""
        super().__post_init__()
        if self.per != "frame":
            raise ConfigError(problem("PerAtomModifier.field", "must be a field per frame", got=self.field))

    def scaled(self, rows: torch.Tensor, batch: Graph) -> torch.Tensor:
        """Divide rows by the number of atoms and multiply them with the factor."""
        per_atom = rows / batch["num_atoms"].reshape(-1, *[1] * (rows.dim() - 1)).to(rows.dtype)
        return per_atom if self.factor is None else per_atom * self.factor


NEIGHBOR_COUNTS = "num_neighbors"
"""Number of neighbours of each atom, in batches that are only counted and have no edges."""


@dataclass(frozen=True)
class NumNeighbors(Quantity):
    """Number of neighbours of each atom: the edges that have it as centre."""

    per: ClassVar[PerWhat] = "atom"
    requires: ClassVar[tuple[str, ...]] = ("edge_index",)

    def values(self, batch: Graph) -> Values:
        """Counts of shape [n_atoms], 0 for atoms without neighbours."""
        n_atoms = batch["positions"].shape[0]
        if "edge_index" not in batch and NEIGHBOR_COUNTS in batch:
            return Values(batch[NEIGHBOR_COUNTS].to(torch.float64), torch.ones(n_atoms, dtype=torch.bool))
        counts = torch.bincount(batch["edge_index"][0], minlength=n_atoms).to(torch.float64)
        return Values(counts, torch.ones(n_atoms, dtype=torch.bool))


@dataclass(frozen=True)
class EdgeLengths(Quantity):
    """Length of each edge in Å."""

    per: ClassVar[PerWhat] = "edge"
    requires: ClassVar[tuple[str, ...]] = ("edge_index",)

    def values(self, batch: Graph) -> Values:
        """Lengths in Å, shape [n_edges]."""
        keys = ("positions", "cell", "edge_index", "edge_cell_shift", "batch")
        lengths = torch.linalg.vector_norm(compute_edge_vectors(*(batch[key] for key in keys)), dim=-1)
        return Values(lengths, torch.ones(lengths.shape[0], dtype=torch.bool))


def as_quantity(field: str | Quantity) -> Quantity:
    """The quantity itself, or the values of the field with that name.

    Raises:
        ConfigError: If the field is unknown or the object is not a quantity.
    """
    if isinstance(field, str):
        return FieldValues(field)
    if not callable(getattr(field, "values", None)):
        raise ConfigError(problem("statistics.field", "must be a field name or a quantity", got=field))
    return field


# ------------------------------------------------------------------ predictions against labels


class Compared(NamedTuple):
    """Predictions and labels of a quantity in a batch."""

    predictions: torch.Tensor
    """float64, shape [n, …]."""

    labels: torch.Tensor
    """Same shape; rows that are absent may hold any number."""

    present: torch.Tensor
    """True where there is a prediction and a label, bool, shape [n]."""

    weights: torch.Tensor | None = None
    """How much each row counts in means, float64, shape [n]; None: all alike."""


def compare(
    predicted: Quantity, labelled: Quantity, outputs: Graph, batch: Graph, *, ignore_nan: bool = False
) -> Compared | None:
    """Predictions and labels of a quantity, and where both exist.

    Args:
        predicted: Quantity of the predictions.
        labelled: Quantity of the labels, usually the same.
        outputs: Predictions of the model.
        batch: Frames with labels, and ``<label>_mask`` where some labels are absent.
        ignore_nan: Treat NaN in labels as absent.

    Returns:
        None if the batch has no such label or the model does not predict it.
    """
    if any(name in LABELS and name not in outputs for name in predicted.requires):
        return None
    ours, theirs = predicted.values({**batch, **outputs}), labelled.values(batch)
    if ours is None or theirs is None:
        return None
    present = ours.present & theirs.present
    if ignore_nan:
        present = present & ~theirs.rows.isnan().reshape(theirs.rows.shape[0], -1).any(1)
    return Compared(ours.rows, theirs.rows, present, theirs.weights)


class Errors(NamedTuple):
    """Prediction minus label of a quantity in a batch."""

    difference: torch.Tensor
    """float64, shape [n, …]; 0 where a label is absent."""

    present: torch.Tensor
    """True where there is a prediction and a label, bool, shape [n]."""

    weights: torch.Tensor
    """How much each row counts in means: 0 where a label is absent, else the weight of the data, or 1; shape [n]."""


def prediction_errors(
    quantity: FieldValues, outputs: Graph, batch: Graph, *, ignore_nan: bool = False
) -> Errors | None:
    """Prediction minus label, where both exist, and the weights.

    The difference is taken before it is divided by the number of atoms, because total energies are large and their
    errors small. Arguments are those of ``compare``.

    Returns:
        None in the cases of ``compare``.
    """
    field = FieldValues(quantity.field)
    found = compare(field, field, outputs, batch, ignore_nan=ignore_nan)
    if found is None:
        return None
    wide = found.present.reshape(-1, *[1] * (found.labels.dim() - 1))
    difference = torch.where(wide, found.predictions, 0.0) - torch.where(wide, found.labels, 0.0)
    weights = found.present.to(torch.float64)
    if found.weights is not None:
        weights = weights * found.weights
    return Errors(quantity.scaled(difference, batch), found.present, weights)


COMPARED: dict[str, FieldValues] = {
    "total_energy": FieldValues("total_energy"),
    "per_atom_energy": PerAtomModifier("total_energy"),
    "forces": FieldValues("forces"),
    "stress": FieldValues("stress"),
}
"""Quantities that losses and metrics compare; the names of their terms begin with the key."""


@dataclass(frozen=True)
class Reported:
    """A quantity in tables of errors."""

    name: str
    """Key of ``COMPARED``."""

    title: str
    """Heading of its column."""

    unit: str
    """Unit of the errors."""

    suffix: str
    """The unit as it appears in names of numbers."""


REPORTED = (
    Reported("per_atom_energy", "energy", "meV/atom", "mev"),
    Reported("forces", "forces", "meV/Å", "mev_per_angstrom"),
    Reported("stress", "stress", "meV/Å³", "mev_per_angstrom3"),
)


def in_mev(units: Units) -> float:
    """Factor that converts energies of a unit system to meV; it holds for every reported quantity."""
    return 1000.0 * UNIT_SYSTEMS[units].energy_in_ev
