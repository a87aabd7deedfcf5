"""Recipes: the ``model`` section of a config, from which a GraphModel is built."""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from typing import Annotated, ClassVar, Literal

import torch
from pydantic import Field

from equipot._host.attribution import naming_plugins
from equipot.errors import ConfigError, problem, problems_of
from equipot.model._components import EnergyModule, EnergyTerm, EnergyTermModule, OutputHead, PairPotential
from equipot.model._context import DTYPES, BuildContext, ModelInfo, TypeCutoffs, resolve_cutoffs, species_of_types
from equipot.model._graph_model import GraphModel
from equipot.model._modifiers import add_derivatives
from equipot.model._scale_shift import ScaleShift, per_type_values
from equipot.options import Options, to_config
from equipot.units import Units

PAIR_POTENTIAL = "pair_potential"
"""Name of the energy term for which ``pair_potential:`` is short."""


class ModelRecipe(ABC):
    """Base class of everything that can be the ``model`` of a config."""

    @abstractmethod
    def info(self, units: Units = "metal") -> ModelInfo:
        """Types, cutoffs and units, without building the model.

        Args:
            units: Unit system of the data.
        """

    @abstractmethod
    def build(self, units: Units = "metal") -> GraphModel:
        """Make the model.

        Args:
            units: Unit system of the training data, which is stored with the model.

        Returns:
            The model in train mode, on the CPU.
        """

    def __call__(self, *_args: object, **_kwargs: object) -> None:
        """Refuse to be called, since a recipe is easily mistaken for a model, and say what to do."""
        raise TypeError(
            f"{type(self).__name__} is a recipe, not a model; call .build() first, then call the model with a batch"
        )


@dataclasses.dataclass(frozen=True, kw_only=True)
class ModelBuilder(Options, ModelRecipe):
    """Base class of all model builders, with the options that every model has; a plugin writes ``build_energy``.

    Subclasses are ``@dataclass(frozen=True, kw_only=True)``; their fields are the hyperparameters.
    """

    node_features: ClassVar[str] = ""
    """What the field ``node_features`` of its models holds, in words; empty if they have none."""

    type_names: Annotated[list[str], Field(min_length=1, max_length=1000)]
    """Names of the atom types, usually chemical symbols; their order is the model's. Configs may write ``auto`` for the
    elements of the data."""

    r_max: Annotated[float, Field(gt=0)]
    """Cutoff radius in Å."""

    seed: Annotated[int, Field(ge=-(2**63), lt=2**64)] = 1
    """Seed of the initial weights."""

    model_dtype: Literal["float32", "float64"] = "float32"
    """Data type of weights and features; geometry and energies are always float64."""

    chemical_species: list[str] | None = None
    """Chemical symbol of each type; default: the type names, if they are elements."""

    per_type_energy_scales: float | dict[str, float] | None = None
    """Factors on the atomic energies, one or for each type; default 1. Often ``per_type_forces_rms``."""

    per_type_energy_shifts: float | dict[str, float] | None = None
    """Energies of isolated atoms in the data's unit, one or for each type; default 0. Often
    ``per_type_energy_shifts_auto``; configs may also name a file with energies by element."""

    per_type_energy_scales_trainable: bool = False
    """Train the scales."""

    per_type_energy_shifts_trainable: bool = False
    """Train the shifts."""

    pair_potential: PairPotential | None = None
    """A pair potential added to the model; short for one entry of ``energy_terms``."""

    energy_terms: dict[str, EnergyTerm] = dataclasses.field(default_factory=dict)
    """Further named terms added to the atomic energies."""

    do_derivatives: bool = True
    """Predict forces, stress and virial; false for a model of energies only."""

    def __init_subclass__(cls, **kwargs: object) -> None:
        """Refuse a subclass that redefines fields of ModelBuilder."""
        super().__init_subclass__(**kwargs)
        if cls.__module__ == __name__:
            return
        if redefined := sorted(set(vars(cls).get("__annotations__", {})) & _BASE_FIELDS):
            raise TypeError(
                f"{cls.__name__}: redefines the fields {redefined} that ModelBuilder owns; give yours other names"
            )

    @abstractmethod
    def build_energy(self, context: BuildContext) -> EnergyModule:
        """Make the module that predicts unscaled atomic energies.

        Args:
            context: Types, cutoffs, dtype, and the generator for random initial weights.

        Returns:
            The module with its initial weights.
        """

    def build_outputs(self, context: BuildContext, energy: EnergyModule) -> Mapping[str, OutputHead]:
        """Make the heads that all its models have, by name; most builders leave heads to modifiers and have none.

        Args:
            context: As for ``build_energy``.
            energy: The module that ``build_energy`` made, which says its ``features``.
        """
        return {}

    def type_cutoffs(self) -> TypeCutoffs | None:
        """Cutoffs by pair of types, for builders that have them: ``{centre: {neighbour: Å}}``."""
        return getattr(self, "per_edge_type_cutoff", None)

    def problems(self) -> Iterable[str]:
        """Problems between options."""
        names = list(self.type_names)
        if len(set(names)) != len(names):
            yield problem("type_names", "must be unique", got=names)
        for name in names:
            if not name.isalnum():
                yield problem("type_names", "must be letters and digits only", got=name)
        if self.pair_potential is not None and PAIR_POTENTIAL in self.energy_terms:
            yield problem(f"energy_terms.{PAIR_POTENTIAL}", "also given as pair_potential", hint="keep one of them")
        yield from problems_of(
            lambda: species_of_types(names, self.chemical_species),
            lambda: resolve_cutoffs(names, self.r_max, self.type_cutoffs()),
            lambda: per_type_values(self.per_type_energy_scales or 1.0, names, "per_type_energy_scales"),
            lambda: per_type_values(self.per_type_energy_shifts or 0.0, names, "per_type_energy_shifts"),
        )
        yield from self._term_problems()

    def _term_problems(self) -> Iterable[str]:
        given_species = self.chemical_species
        species = species_of_types(self.type_names, None) if given_species is None else tuple(given_species)
        for name, term in self._terms().items():
            given = term.expected_species() if isinstance(term, PairPotential) else None
            if given is not None and species is not None and given != species:
                what = f"must be the species of the types, {list(species)}"
                yield problem(f"{name}.chemical_species", what, got=list(given))

    def _terms(self) -> dict[str, EnergyTerm]:
        pair = {} if self.pair_potential is None else {PAIR_POTENTIAL: self.pair_potential}
        return {**pair, **self.energy_terms}

    def info(self, units: Units = "metal") -> ModelInfo:
        """Types, cutoffs and units, without building the model."""
        cutoffs = resolve_cutoffs(self.type_names, self.r_max, self.type_cutoffs())
        uniform = bool((cutoffs == self.r_max).all())
        radii = {name: term.own_r_max() for name, term in self._terms().items()}
        return ModelInfo(
            type_names=tuple(self.type_names),
            chemical_species=species_of_types(self.type_names, self.chemical_species),
            r_max=self.r_max,
            cutoffs=None if uniform else tuple(tuple(row) for row in cutoffs.tolist()),
            model_dtype=self.model_dtype,
            units=units,
            edge_sets=tuple((name, radius) for name, radius in radii.items() if radius is not None),
        )

    def unit_problems(self, units: Units) -> list[str]:
        """Energy terms whose unit system differs from that of the data."""
        return [
            problem(f"{name}.units", f"must equal data.units = {units!r}", got=term.expected_units())
            for name, term in self._terms().items()
            if isinstance(term, PairPotential) and term.expected_units() not in (None, units)
        ]

    def build(self, units: Units = "metal") -> GraphModel:
        """Make the model, with derivatives if ``do_derivatives``.

        Raises:
            ConfigError: If a term works in other units, or parts do not fit together.
            PluginError: If ``do_derivatives`` is true and no plugin provides forces.
        """
        model = self.build_energy_model(units)
        return add_derivatives(model) if self.do_derivatives else model

    @naming_plugins()
    def build_energy_model(self, units: Units = "metal") -> GraphModel:
        """Make the model without derivatives, even if ``do_derivatives`` is true."""
        if problems := self.unit_problems(units):
            raise ConfigError(problems)
        info = self.info(units)
        context = BuildContext(
            type_names=info.type_names,
            chemical_species=info.chemical_species,
            r_max=self.r_max,
            cutoffs=resolve_cutoffs(self.type_names, self.r_max, self.type_cutoffs()),
            model_dtype=DTYPES[self.model_dtype],
            units=units,
            generator=torch.Generator().manual_seed(self.seed),
        )
        terms: dict[str, EnergyTermModule] = {name: term.build(context) for name, term in self._terms().items()}
        if problems := self._radius_problems(terms):
            raise ConfigError(problems)
        scale_shift = ScaleShift(
            self.type_names,
            scales=self.per_type_energy_scales,
            shifts=self.per_type_energy_shifts,
            scales_trainable=self.per_type_energy_scales_trainable,
            shifts_trainable=self.per_type_energy_shifts_trainable,
        )
        energy = self.build_energy(context)
        return GraphModel(
            info=info,
            energy=energy,
            scale_shift=scale_shift,
            energy_terms=terms,
            outputs=self.build_outputs(context, energy),
            config=to_config(self),
        )

    def _radius_problems(self, modules: dict[str, EnergyTermModule]) -> list[str]:
        """Terms whose options and module disagree about the cutoff radius."""
        return [
            problem(
                f"energy_terms.{name}",
                f"own_r_max() is {term.own_r_max()} but its module's r_max differs",
                got=modules[name].r_max,
                hint="report this to the author of the term",
            )
            for name, term in self._terms().items()
            if term.own_r_max() != modules[name].r_max
        ]


_BASE_FIELDS = frozenset(field.name for field in dataclasses.fields(ModelBuilder))
