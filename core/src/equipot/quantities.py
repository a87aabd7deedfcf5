"""Quantities that training compares, statistics average and tables report, with their masks and units.

A quantity gives values for a batch, says whether they are per frame, atom or edge, and which of them are absent.
"""

from __future__ import annotations

import re
from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, NamedTuple, Protocol, overload

import torch

from equipot.errors import ConfigError, problem, unknown
from equipot.fields import FIELDS, LABELS, PerWhat, mask_key, weight_key
from equipot.graph import Graph, compute_edge_vectors, per_what
from equipot.units import UNIT_SYSTEMS, Units, energy_power, in_ev


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


def complete_errors(quantity: FieldValues, outputs: Graph, batch: Graph) -> torch.Tensor | None:
    """Prediction minus label in batches where no label is absent and all count alike, with few operations.

    ``prediction_errors``, which serves all batches, takes a part of a training step of small molecules that one sees.

    Args:
        quantity: What is compared.
        outputs: Predictions of the model.
        batch: Frames with labels.

    Returns:
        float64, shape [n, …]; None for other batches, and for masks on a GPU, for which it would have to wait.
    """
    field, mask = quantity.field, mask_key(quantity.field)
    if field not in outputs or field not in batch or weight_key(field) in batch:
        return None
    masks = [held[mask] for held in (outputs, batch) if mask in held]
    if not all(one.is_cpu and bool(one.all()) for one in masks):
        return None
    return quantity.scaled(outputs[field].to(torch.float64) - batch[field].to(torch.float64), batch)


ENERGY, FORCES = "per_atom_energy", "forces"
"""Quantities that tables show first and treat apart: energies belong to compositions, forces to elements."""


class _ByName(Mapping[str, "FieldValues"]):
    """Quantities by name: every label, and every label that adds up over parts divided by the number of atoms."""

    def __getitem__(self, name: str) -> FieldValues:
        if name in LABELS:
            return FieldValues(name)
        if name in (per_atom := _per_atom_names()):
            return PerAtomModifier(per_atom[name])
        raise KeyError(name)

    def __iter__(self) -> Iterator[str]:
        return iter((*LABELS, *_per_atom_names()))

    def __len__(self) -> int:
        return len(LABELS) + len(_per_atom_names())


def _per_atom_names() -> dict[str, str]:
    """Name of each quantity that is divided by the number of atoms, with its label."""
    return {per_atom_name(label): label for label, field in LABELS.items() if field.extensive}


def per_atom_name(label: str) -> str:
    """Name of a label that is divided by the number of atoms.

    Example:
        >>> per_atom_name("total_energy")
        'per_atom_energy'
    """
    return ENERGY if label == "total_energy" else f"per_atom_{label}"


COMPARED: Mapping[str, FieldValues] = _ByName()
"""Quantities that losses and metrics compare, with the labels of plugins; the names of their terms begin with the key.
"""


@dataclass(frozen=True)
class Reported:
    """A quantity in tables of errors."""

    name: str
    """Key of ``COMPARED``."""

    title: str
    """Heading of its column."""

    unit: str
    """Unit of the errors, e.g. ``meV/Å``."""

    suffix: str
    """The unit as it appears in names of numbers."""

    label: str
    """The label that is compared."""

    def number(self, kind: str) -> str:
        """Name of a number in files.

        Example:
            >>> REPORTED[1].number("mae")
            'forces_mae_mev_per_angstrom'
        """
        return "_".join(filter(None, (self.name, kind, self.suffix)))

    def factor(self, units: Units) -> float:
        """What errors in a unit system are multiplied with, to be in the unit of the table."""
        unit = FIELDS[self.label].unit
        return in_ev(unit, units) * (1000.0 if _in_milli(unit) else 1.0)


def _in_milli(unit: str) -> bool:
    """Whether errors are shown in a thousandth of a unit, as meV and meV/Å are."""
    return unit.startswith("eV") and energy_power(unit) == 1


def _reported(label: str) -> Reported:
    """How a label appears in tables: energies divided by the number of atoms, in meV; others as they are."""
    unit = FIELDS[label].unit
    shown = f"m{unit}" if _in_milli(unit) else unit
    if label == "total_energy":
        return Reported(ENERGY, "energy", f"{shown}/atom", _slug(shown), label)
    return Reported(label, label.replace("_", " "), shown, _slug(shown), label)


def _slug(unit: str) -> str:
    """A unit in letters, digits and underscores.

    Example:
        >>> _slug("meV/Å³"), _slug("e Å")
        ('mev_per_angstrom3', 'e_angstrom')
    """
    plain = unit.lower().replace("å", "angstrom").replace("²", "2").replace("³", "3").replace("/", "_per_")
    return re.sub(r"\W+", "_", plain).strip("_")


class _InTables(Sequence[Reported]):
    """The labels in the order of tables: energy, forces, stress, then all others."""

    def _rows(self) -> list[Reported]:
        first = ("total_energy", "forces", "stress")
        return [_reported(label) for label in (*first, *(one for one in LABELS if one not in first))]

    @overload
    def __getitem__(self, index: int) -> Reported: ...

    @overload
    def __getitem__(self, index: slice) -> list[Reported]: ...

    def __getitem__(self, index: int | slice) -> Reported | list[Reported]:
        return self._rows()[index]

    def __len__(self) -> int:
        return len(LABELS)


REPORTED: Sequence[Reported] = _InTables()
"""Quantities of tables of errors, with the labels of plugins."""


def in_mev(units: Units) -> float:
    """Factor that converts energies of a unit system to meV."""
    return 1000.0 * UNIT_SYSTEMS[units].energy_in_ev
