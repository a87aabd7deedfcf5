"""The context of a model: derived values for builders, and what engines ask about a model."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any, Literal

import torch

from equipot import containers
from equipot.errors import ConfigError, problem, unknown
from equipot.model._boundary import Limits
from equipot.units import Units

Locality = str
"""``strict``, ``hops(k)`` or ``global``: how far away atoms influence an atom's energy."""

DTYPES: dict[str, torch.dtype] = {"float32": torch.float32, "float64": torch.float64}

TypeCutoffs = dict[str, "float | dict[str, float]"]


@dataclass(frozen=True, kw_only=True)
class BuildContext:
    """Derived values for a builder, whose options are its own fields."""

    type_names: tuple[str, ...]
    """Names of the atom types; ``atom_types`` are indices into this tuple."""

    chemical_species: tuple[str, ...] | None
    """Element symbol of each type; None if unknown."""

    r_max: float
    """Largest cutoff radius of the model's edges, Å."""

    cutoffs: torch.Tensor
    """Cutoff radius R[centre type, neighbour type], Å, float64, shape [n_types, n_types]."""

    model_dtype: torch.dtype
    """Data type of weights and features."""

    units: Units = "metal"
    """Unit system of the training data."""

    generator: torch.Generator = field(default_factory=torch.Generator)
    """Source of every random initial weight."""

    node_features: str | None = None
    """For energy terms: irreps of the field ``node_features``, as ``EnergyModule.features``; None if the builder has
    none, and while the energy module is built."""

    @property
    def num_types(self) -> int:
        """Number of atom types."""
        return len(self.type_names)

    @property
    def atomic_numbers(self) -> tuple[int, ...] | None:
        """Atomic number of each type; None if the species are unknown."""
        return _charges(self.chemical_species)


@dataclass(frozen=True, kw_only=True)
class ModelInfo:
    """What data pipelines, engines and artifacts need to know about a model."""

    type_names: tuple[str, ...]
    chemical_species: tuple[str, ...] | None
    r_max: float
    cutoffs: tuple[tuple[float, ...], ...] | None
    """R[centre, neighbour] in Å; None if all are ``r_max``."""
    model_dtype: Literal["float32", "float64"]
    units: Units = "metal"
    locality: Locality = "global"
    edge_sets: tuple[tuple[str, float], ...] = ()
    """Name and radius in Å of further edge sets that energy terms need."""
    inputs: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()
    boundary: Limits = ()
    """Name of each term or head that serves only some boundary conditions, and these (``equipot.model.BOUNDARIES``)."""

    @property
    def atomic_numbers(self) -> tuple[int, ...] | None:
        """Atomic number of each type; None if the species are unknown."""
        return _charges(self.chemical_species)

    @property
    def cutoff_matrix(self) -> torch.Tensor | None:
        """R[centre, neighbour] in Å, float64, shape [n_types, n_types]; None if all are ``r_max``."""
        return None if self.cutoffs is None else torch.tensor(self.cutoffs, dtype=torch.float64)

    @property
    def edge_set_names(self) -> tuple[str, ...]:
        """Names of all edge sets, starting with the model's own, whose name is empty."""
        return ("", *(name for name, _ in self.edge_sets))

    def to_dict(self) -> dict[str, Any]:
        """Plain containers for a manifest; without limits, nothing about boundary conditions, as in older files."""
        plain = dict(containers.plain(dataclasses.asdict(self)))
        return plain if self.boundary else {key: value for key, value in plain.items() if key != "boundary"}

    @classmethod
    def from_dict(cls, plain: dict[str, Any]) -> ModelInfo:
        """Inverse of ``to_dict``."""
        return cls(**{key: _tuples(value) for key, value in plain.items()})


def _charges(symbols: tuple[str, ...] | None) -> tuple[int, ...] | None:
    """Atomic number of each element."""
    from ase.data import atomic_numbers

    return None if symbols is None else tuple(atomic_numbers[symbol] for symbol in symbols)


def _tuples(value: Any) -> Any:
    return tuple(_tuples(item) for item in value) if isinstance(value, list) else value


def species_of_types(
    type_names: list[str] | tuple[str, ...], chemical_species: list[str] | tuple[str, ...] | None
) -> tuple[str, ...] | None:
    """Element symbol of each type; None if no symbols are given and some type names are not elements."""
    from ase.data import chemical_symbols

    elements = set(chemical_symbols[1:])
    if chemical_species is None:
        return tuple(type_names) if all(name in elements for name in type_names) else None
    where, given = "chemical_species", list(chemical_species)
    if len(given) != len(type_names):
        raise ConfigError(problem(where, f"must have one symbol per type name {list(type_names)}", got=given))
    problems = []
    for name, symbol in zip(type_names, given, strict=True):
        if symbol not in elements:
            problems.append(problem(where, f"{symbol!r} is not an element", got=given, hint="list chemical symbols"))
        elif name in elements and name != symbol:
            what = f"type {name!r} is an element but its species is {symbol!r}"
            problems.append(problem(where, what, got=given, hint="use the order of type_names"))
    if problems:
        raise ConfigError(problems)
    return tuple(given)


def resolve_cutoffs(
    type_names: list[str] | tuple[str, ...], r_max: float, per_edge_type_cutoff: TypeCutoffs | None
) -> torch.Tensor:
    """Matrix of cutoff radii from the mapping that the user gave.

    Args:
        type_names: Names of the types.
        r_max: Radius in Å of every pair that is not given.
        per_edge_type_cutoff: ``{centre: r}`` or ``{centre: {neighbour: r}}`` in Å.

    Returns:
        R[centre, neighbour] in Å, float64, shape [n_types, n_types].

    Raises:
        ConfigError: On an unknown type name or a radius outside (0, r_max].
    """
    names = list(type_names)
    cutoffs = torch.full((len(names), len(names)), float(r_max), dtype=torch.float64)
    problems: list[str] = []
    for centre, given in (per_edge_type_cutoff or {}).items():
        row = given if isinstance(given, dict) else dict.fromkeys(names, given)
        for neighbour, radius in row.items():
            where = f"per_edge_type_cutoff.{centre}" + (f".{neighbour}" if isinstance(given, dict) else "")
            if wrong := next((name for name in (centre, neighbour) if name not in names), None):
                problems.append(unknown(where, wrong, names, "type name"))
            elif not 0.0 < radius <= r_max:
                problems.append(problem(where, f"must be greater than 0 and at most r_max = {r_max}", got=radius))
            else:
                cutoffs[names.index(centre), names.index(neighbour)] = radius
    if problems:
        raise ConfigError(list(dict.fromkeys(problems)))
    return cutoffs


def pair_index(centre_type: torch.Tensor, neighbour_type: torch.Tensor, num_types: int) -> torch.Tensor:
    """Flat index of an ordered pair of types, used wherever tables have one row per pair.

    Args:
        centre_type: Types of the centres, int64, shape [n_edges].
        neighbour_type: Types of the neighbours, int64, shape [n_edges].
        num_types: Number of types.

    Returns:
        ``centre_type * num_types + neighbour_type``, shape [n_edges].
    """
    return centre_type * num_types + neighbour_type
