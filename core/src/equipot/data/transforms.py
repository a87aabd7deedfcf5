"""Transforms: functions from a frame to a frame, applied in order when a frame is fetched."""

from __future__ import annotations

import functools
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Protocol, runtime_checkable

import torch
from pydantic import Field

from equipot.errors import ConfigError, DataError, problem, problems_of, unknown
from equipot.graph import Graph
from equipot.model._context import ModelInfo, resolve_cutoffs, species_of_types
from equipot.neighbors import Backend, add_neighbors
from equipot.options import Options


@runtime_checkable
class Transform(Protocol):
    """An entry of ``data.transforms``; it returns a new dict and does not change its argument."""

    @abstractmethod
    def __call__(self, frame: Graph) -> Graph:
        """The transformed frame."""
        ...


@dataclass(frozen=True, kw_only=True)
class ChemicalSpeciesToAtomTypeMapper(Options):
    """Adds ``atom_types`` from the atomic numbers."""

    model_type_names: list[str] = field(kw_only=False)
    """The model's type names, in its order."""

    chemical_species_to_atom_type_map: dict[str, str] | None = field(default=None, kw_only=False)
    """Type name of each chemical symbol; by default the type names are chemical symbols."""

    def problems(self) -> Iterator[str]:
        """Symbols that are not elements, and unknown types."""
        from ase.data import atomic_numbers

        given = self.chemical_species_to_atom_type_map
        where = "model_type_names" if given is None else "chemical_species_to_atom_type_map"
        for symbol, name in self.mapping.items():
            if symbol not in atomic_numbers or symbol == "X":
                hint = "list chemical symbols or give chemical_species_to_atom_type_map"
                yield problem(where, f"{symbol!r} is not an element", hint=hint)
            if name not in self.model_type_names:
                yield unknown(where, name, self.model_type_names, "type")

    @property
    def mapping(self) -> dict[str, str]:
        """Type name of each chemical symbol."""
        given = self.chemical_species_to_atom_type_map
        return {name: name for name in self.model_type_names} if given is None else given

    @property
    def supported(self) -> list[str]:
        """Chemical symbols that have a type."""
        return list(self.mapping)

    @functools.cached_property
    def _type_of_number(self) -> torch.Tensor:
        """Type by atomic number, -1 for elements without a type, int64."""
        from ase.data import atomic_numbers, chemical_symbols

        types = torch.full((len(chemical_symbols),), -1, dtype=torch.int64)
        for symbol, name in self.mapping.items():
            types[atomic_numbers[symbol]] = self.model_type_names.index(name)
        return types

    def unsupported(self, frame: Graph) -> list[str]:
        """Chemical symbols of a frame that have no type, by atomic number."""
        from ase.data import chemical_symbols

        numbers = torch.unique(frame["atomic_numbers"])
        known = (numbers >= 0) & (numbers < len(self._type_of_number))
        known &= self._type_of_number[torch.where(known, numbers, 0)] >= 0
        return [
            chemical_symbols[number] if 0 <= number < len(chemical_symbols) else f"Z={number}"
            for number in numbers[~known].tolist()
        ]

    def types(self, atomic_numbers: torch.Tensor) -> torch.Tensor:
        """Types by atomic number, int64, -1 for elements without one; both of shape [n_atoms]."""
        return self._type_of_number[atomic_numbers]

    def __call__(self, frame: Graph) -> Graph:
        """Adds ``atom_types``, int64, shape [n_atoms].

        Raises:
            DataError: If an element has no type.
        """
        if missing := self.unsupported(frame):
            raise DataError(problem("atom types", f"no type for {missing}", hint=f"supported: {self.supported}"))
        return {**frame, "atom_types": self.types(frame["atomic_numbers"])}


@dataclass(frozen=True)
class ModelEdges:
    """Adds the edges of a model; replaces ``NeighborListTransform`` once the model is known."""

    r_max: float
    """Largest radius, Å."""

    cutoffs: tuple[tuple[float, ...], ...] | None
    """Radius of each pair of types in Å, by centre and neighbour; None: r_max for all pairs."""

    edge_sets: tuple[tuple[str, float], ...]
    """Further edge sets: name and radius in Å."""

    backend: Backend = "vesin"
    """Library that finds the pairs."""

    def __call__(self, frame: Graph) -> Graph:
        """Adds ``edge_index`` [2, n_edges] and ``edge_cell_shift`` [n_edges, 3] of each set."""
        cutoffs = None if self.cutoffs is None else torch.tensor(self.cutoffs, dtype=torch.float64)
        return add_neighbors(frame, self.r_max, cutoffs=cutoffs, edge_sets=self.edge_sets, backend=self.backend)


@dataclass(frozen=True, kw_only=True)
class NeighborListTransform(Options):
    """Adds the edges of a model."""

    r_max: Annotated[float, Field(gt=0.0)] = field(kw_only=False)
    """Radius, Å."""

    per_edge_type_cutoff: dict[str, float | dict[str, float]] | None = field(default=None, kw_only=False)
    """Radii in Å, at most r_max, as ``{centre: r}`` or ``{centre: {neighbour: r}}``."""

    type_names: list[str] | None = field(default=None, kw_only=False)
    """Type names; needed for per_edge_type_cutoff."""

    backend: Backend = "vesin"
    """Library that finds the pairs; the edges do not depend on it."""

    def problems(self) -> Iterator[str]:
        """Radii without type names, of unknown types, or larger than r_max."""
        if self.per_edge_type_cutoff is not None and self.type_names is None:
            yield problem("type_names", "is needed with per_edge_type_cutoff")
        yield from problems_of(lambda: self.cutoffs)

    @functools.cached_property
    def cutoffs(self) -> tuple[tuple[float, ...], ...] | None:
        """Radius of each pair of types in Å, by centre and neighbour; None: r_max for all pairs."""
        if self.type_names is None or self.per_edge_type_cutoff is None:
            return None
        return tuple(map(tuple, resolve_cutoffs(self.type_names, self.r_max, self.per_edge_type_cutoff).tolist()))

    def __call__(self, frame: Graph) -> Graph:
        """Adds ``edge_index`` [2, n_edges] and ``edge_cell_shift`` [n_edges, 3].

        Raises:
            DataError: If atoms coincide.
        """
        return ModelEdges(self.r_max, self.cutoffs, (), self.backend)(frame)


def default_transforms(info: ModelInfo) -> list[Transform]:
    """Type mapper and neighbour list that follow from a model."""
    return bind_transforms(None, info)


def mapper_for_model(info: ModelInfo) -> ChemicalSpeciesToAtomTypeMapper:
    """Type mapper of a model whose types are different elements; for other models, a ConfigError."""
    species = info.chemical_species or species_of_types(info.type_names, None)
    where, hint = "data.transforms", "give data.transforms with a ChemicalSpeciesToAtomTypeMapper"
    if species is None:
        what = f"the model's types {list(info.type_names)} are not all elements"
        raise ConfigError(problem(where, what, hint=hint))
    if len(set(species)) != len(species):
        what = "two of the model's types are the same element"
        raise ConfigError(problem(where, what, got=list(species), hint=hint))
    return ChemicalSpeciesToAtomTypeMapper(list(info.type_names), dict(zip(species, info.type_names, strict=True)))


def mapper_among(transforms: Sequence[Transform]) -> ChemicalSpeciesToAtomTypeMapper | None:
    """The type mapper in a list of transforms, or None."""
    return next((one for one in transforms if isinstance(one, ChemicalSpeciesToAtomTypeMapper)), None)


def bind_transforms(transforms: Sequence[Transform] | None, info: ModelInfo) -> list[Transform]:
    """The transforms of a config for a model, checked, with a type mapper and a neighbour list added if missing.

    Args:
        transforms: Transforms of the config, or None.
        info: Types, radii and edge sets of the model.

    Raises:
        ConfigError: If types or radii differ from the model's.
    """
    problems: list[str] = []
    bound: list[Transform] = []
    for index, transform in enumerate(transforms or ()):
        where = f"data.transforms.{index}"
        if isinstance(transform, ChemicalSpeciesToAtomTypeMapper):
            problems.extend(_mapper_problems(transform, info, where))
        elif isinstance(transform, NeighborListTransform):
            problems.extend(_radius_problems(transform, info, where))
            bound.append(ModelEdges(info.r_max, info.cutoffs, info.edge_sets, transform.backend))
            continue
        bound.append(transform)
    if problems:
        raise ConfigError(problems)
    if mapper_among(bound) is None:
        bound.insert(0, mapper_for_model(info))
    if not any(isinstance(transform, ModelEdges) for transform in bound):
        bound.append(ModelEdges(info.r_max, info.cutoffs, info.edge_sets))
    return bound


def _mapper_problems(mapper: ChemicalSpeciesToAtomTypeMapper, info: ModelInfo, where: str) -> Iterator[str]:
    if mapper.model_type_names != list(info.type_names):
        what = f"differ from the model's {list(info.type_names)}"
        yield problem(f"{where}.model_type_names", what, got=mapper.model_type_names)
        return
    species_of_type = dict(zip(info.type_names, info.chemical_species or (), strict=False))
    for symbol, name in mapper.mapping.items():
        species = species_of_type.get(name, symbol)
        if symbol != species:
            what = f"maps {symbol!r} to the type {name!r}, but the model uses that type for {species!r}"
            yield problem(f"{where}.chemical_species_to_atom_type_map", what)


def _radius_problems(transform: NeighborListTransform, info: ModelInfo, where: str) -> Iterator[str]:
    if transform.r_max != info.r_max:
        hint = "leave data.transforms out: the neighbour list follows from the model"
        what = f"differs from the model's r_max = {info.r_max}"
        yield problem(f"{where}.r_max", what, got=transform.r_max, hint=hint)
    elif transform.type_names is not None and transform.type_names != list(info.type_names):
        what = f"differ from the model's {list(info.type_names)}"
        yield problem(f"{where}.type_names", what, got=transform.type_names)
    elif transform.cutoffs is not None and transform.cutoffs != info.cutoffs:
        what = f"differs from the model's radii {info.cutoffs or info.r_max}"
        yield problem(f"{where}.per_edge_type_cutoff", what, got=transform.cutoffs)
