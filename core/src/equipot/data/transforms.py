"""Transforms: functions of a frame that give a frame, applied in order when a frame is fetched."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Protocol

import torch

from equipot.errors import ConfigError, DataError, did_you_mean, problem
from equipot.graph import Graph
from equipot.model._context import ModelInfo, TypeCutoffs, resolve_cutoffs, species_of_types
from equipot.neighbors import BACKENDS, Backend, add_neighbors


class Transform(Protocol):
    """What stands in ``data.transforms``; it returns a new dict and leaves its argument alone."""

    @abstractmethod
    def __call__(self, frame: Graph) -> Graph:
        """The transformed frame."""
        ...


class ChemicalSpeciesToAtomTypeMapper(Transform):
    """Adds ``atom_types`` from the atomic numbers.

    Args:
        model_type_names: The model's type names, in its order.
        chemical_species_to_atom_type_map: Chemical symbol to type name; by default type names are
            chemical symbols.

    Raises:
        ConfigError: If a symbol is no element or a type is unknown.
    """

    def __init__(
        self,
        model_type_names: list[str],
        chemical_species_to_atom_type_map: dict[str, str] | None = None,
    ) -> None:
        from ase.data import atomic_numbers, chemical_symbols

        self.model_type_names = list(model_type_names)
        where = "ChemicalSpeciesToAtomTypeMapper"
        mapping = chemical_species_to_atom_type_map
        if mapping is None:
            mapping = {name: name for name in self.model_type_names}
        problems = []
        for symbol, name in mapping.items():
            if symbol not in atomic_numbers or symbol == "X":
                hint = "list chemical symbols or give chemical_species_to_atom_type_map"
                problems.append(problem(where, f"{symbol!r} is not an element", hint=hint))
            if name not in self.model_type_names:
                hint = did_you_mean(name, self.model_type_names) or f"types: {self.model_type_names}"
                problems.append(problem(where, f"{name!r} is not a type name", hint=hint))
        if problems:
            raise ConfigError(problems)
        self.chemical_species_to_atom_type_map = dict(mapping)
        self._type_of_number = torch.full((len(chemical_symbols),), -1, dtype=torch.int64)
        for symbol, name in mapping.items():
            self._type_of_number[atomic_numbers[symbol]] = self.model_type_names.index(name)

    @property
    def supported(self) -> list[str]:
        """Chemical symbols that have a type."""
        return list(self.chemical_species_to_atom_type_map)

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

    def __call__(self, frame: Graph) -> Graph:
        """Adds ``atom_types``, int64, shape [n_atoms].

        Raises:
            DataError: If an element has no type.
        """
        if missing := self.unsupported(frame):
            raise DataError(problem("atom types", f"no type for {missing}", hint=f"supported: {self.supported}"))
        return {**frame, "atom_types": self._type_of_number[frame["atomic_numbers"]]}


class NeighborListTransform(Transform):
    """Adds the edges of a model.

    Args:
        r_max: Radius, Å.
        per_edge_type_cutoff: ``{centre: r}`` or ``{centre: {neighbour: r}}`` in Å, at most r_max.
        type_names: Type names, needed with per_edge_type_cutoff.
        backend: Library that finds the pairs; the edges do not depend on it.

    Raises:
        ConfigError: On a radius that is not positive, unknown types or an unknown backend.
    """

    def __init__(
        self,
        r_max: float,
        per_edge_type_cutoff: dict[str, float | dict[str, float]] | None = None,
        type_names: list[str] | None = None,
        backend: str = "vesin",
    ) -> None:
        where = "NeighborListTransform"
        if not r_max > 0.0:
            raise ConfigError(problem(f"{where}.r_max", "must be greater than 0", got=r_max))
        if backend not in BACKENDS:
            raise ConfigError(
                problem(f"{where}.backend", "unknown", got=backend, hint=f"choose one of {list(BACKENDS)}")
            )
        if per_edge_type_cutoff is not None and type_names is None:
            raise ConfigError(problem(f"{where}.type_names", "is needed with per_edge_type_cutoff"))
        self.r_max = float(r_max)
        self.backend: Backend = "vesin" if backend == "vesin" else "matscipy"
        self.type_names = list(type_names) if type_names is not None else None
        self.cutoffs = _cutoffs(self.type_names, self.r_max, per_edge_type_cutoff)
        self.edge_sets: tuple[tuple[str, float], ...] = ()

    def for_model(self, info: ModelInfo) -> NeighborListTransform:
        """The same list with a model's per-pair radii and further edge sets."""
        bound = NeighborListTransform(info.r_max, type_names=list(info.type_names), backend=self.backend)
        bound.cutoffs = torch.tensor(info.cutoffs, dtype=torch.float64) if info.cutoffs is not None else None
        bound.edge_sets = info.edge_sets
        return bound

    def __call__(self, frame: Graph) -> Graph:
        """Adds ``edge_index`` [2, n_edges] and ``edge_cell_shift`` [n_edges, 3].

        Raises:
            DataError: If atoms coincide.
        """
        return add_neighbors(frame, self.r_max, cutoffs=self.cutoffs, edge_sets=self.edge_sets, backend=self.backend)


def default_transforms(info: ModelInfo) -> list[Transform]:
    """Type mapper and neighbour list that follow from a model."""
    return [mapper_for_model(info), NeighborListTransform(info.r_max).for_model(info)]


def mapper_for_model(info: ModelInfo) -> ChemicalSpeciesToAtomTypeMapper:
    """Type mapper of a model whose types are known by element.

    Raises:
        ConfigError: If they are not, or two types are the same element.
    """
    species = info.chemical_species or species_of_types(info.type_names, None)
    hint = "give data.transforms with a ChemicalSpeciesToAtomTypeMapper"
    if species is None:
        raise ConfigError(
            problem("data.transforms", f"the model's types {list(info.type_names)} are not all elements", hint=hint)
        )
    if len(set(species)) != len(species):
        raise ConfigError(
            problem("data.transforms", "two of the model's types are the same element", got=list(species), hint=hint)
        )
    return ChemicalSpeciesToAtomTypeMapper(list(info.type_names), dict(zip(species, info.type_names, strict=True)))


def bind_transforms(transforms: Sequence[Transform] | None, info: ModelInfo) -> list[Transform]:
    """The transforms for a model: those given, checked, and what is missing added.

    Args:
        transforms: What the config says, or None.
        info: The model's types, radii and edge sets.

    Raises:
        ConfigError: If types or radii differ from the model's.
    """
    if not transforms:
        return default_transforms(info)
    problems: list[str] = []
    bound: list[Transform] = []
    for index, transform in enumerate(transforms):
        where = f"data.transforms.{index}"
        if isinstance(transform, ChemicalSpeciesToAtomTypeMapper):
            problems.extend(_mapper_problems(transform, info, where))
            bound.append(transform)
        elif isinstance(transform, NeighborListTransform):
            problems.extend(_radius_problems(transform, info, where))
            bound.append(transform.for_model(info))
        else:
            bound.append(transform)
    if problems:
        raise ConfigError(problems)
    if not any(isinstance(transform, ChemicalSpeciesToAtomTypeMapper) for transform in bound):
        bound.insert(0, mapper_for_model(info))
    if not any(isinstance(transform, NeighborListTransform) for transform in bound):
        bound.append(NeighborListTransform(info.r_max).for_model(info))
    return bound


def _mapper_problems(mapper: ChemicalSpeciesToAtomTypeMapper, info: ModelInfo, where: str) -> list[str]:
    if mapper.model_type_names != list(info.type_names):
        return [
            problem(
                f"{where}.model_type_names",
                f"differ from the model's {list(info.type_names)}",
                got=mapper.model_type_names,
            )
        ]
    return [
        problem(
            f"{where}.chemical_species_to_atom_type_map",
            f"maps {symbol!r} to the type {name!r}, which the model takes for {species!r}",
        )
        for name, species in zip(info.type_names, info.chemical_species or (), strict=False)
        for symbol, mapped in mapper.chemical_species_to_atom_type_map.items()
        if mapped == name and symbol != species
    ]


def _radius_problems(transform: NeighborListTransform, info: ModelInfo, where: str) -> list[str]:
    if transform.r_max != info.r_max:
        hint = "leave data.transforms out: the neighbour list follows from the model"
        return [
            problem(f"{where}.r_max", f"differs from the model's r_max = {info.r_max}", got=transform.r_max, hint=hint)
        ]
    if transform.type_names is not None and transform.type_names != list(info.type_names):
        return [
            problem(f"{where}.type_names", f"differ from the model's {list(info.type_names)}", got=transform.type_names)
        ]
    given = None if transform.cutoffs is None else tuple(tuple(row) for row in transform.cutoffs.tolist())
    if given is not None and given != info.cutoffs:
        return [
            problem(
                f"{where}.per_edge_type_cutoff",
                f"differs from the model's radii {info.cutoffs or info.r_max}",
                got=given,
            )
        ]
    return []


def _cutoffs(type_names: list[str] | None, r_max: float, given: Mapping[str, object] | None) -> torch.Tensor | None:
    if type_names is None or given is None:
        return None
    cutoffs: TypeCutoffs = dict(given)  # type: ignore[arg-type]
    return resolve_cutoffs(type_names, r_max, cutoffs)
