"""Base classes for plugins: the parts that fill the named slots of a GraphModel.

A component gets exactly the fields that it lists in ``requires`` and returns new fields. It never sees positions or the
cell unless it asks for them, so that no gradient is lost.
"""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Annotated, ClassVar

import torch
from pydantic import Field

from equipot.graph import Graph
from equipot.model._boundary import BOUNDARIES
from equipot.model._context import BuildContext, Locality
from equipot.nn.cutoff import polynomial_cutoff
from equipot.options import Options
from equipot.units import Units


class EnergyModule(torch.nn.Module, ABC):
    """The builder's part of a model: unscaled energies of atoms.

    ``forward`` gets a dict with the fields in ``requires`` and returns a dict with
    ``"atomic_energy"``, shape [n_atoms], in the model's dtype, plus the fields in ``provides``.
    An atom without edges must get exactly 0.

    A module with ``features`` takes the keyword ``features: bool = False`` too, ``forward(data, *, features=False)``:
    with True, which a model asks for if a term or head requires ``node_features``, it returns them in addition, shape
    [n_atoms, dim], in the model's dtype. The same holds for one with ``has_last_layer_features`` and the field
    ``last_layer_features``.
    """

    requires: ClassVar[tuple[str, ...]] = ("edge_vectors", "edge_lengths", "edge_index", "atom_types")
    """Fields of ``equipot.fields`` that the forward pass reads."""

    provides: ClassVar[tuple[str, ...]] = ()
    """Further fields that it always returns, for energy terms and heads that require them."""

    features: str | None = None
    """Irreps of the field ``node_features``, e.g. ``64x0e+32x1o``, as ``str(FeatureLayout)`` writes them; None: it has
    none. Columns are those of ``equipot.nn.irreps.FeatureLayout``: scalars first, and channels last in each block."""

    has_last_layer_features: ClassVar[bool] = False
    """Whether it has the field ``last_layer_features``, with which the atomic energies are
    ``last_layer_features @ last_layer().flatten()``."""

    locality: Locality = "global"
    """``strict`` (only atoms within r_max matter), ``hops(k)`` (k message layers) or ``global``."""

    @abstractmethod
    def forward(self, data: Graph) -> Graph:
        """Compute unscaled atomic energies.

        Args:
            data: The fields in ``requires``; vectors and lengths in Å, float64.

        Returns:
            ``{"atomic_energy": [n_atoms]}`` and the fields in ``provides``.
        """

    def last_layer(self) -> torch.nn.Parameter | None:
        """The parameter that the atomic energies are linear in, if there is one: they are 0 where it is 0.

        With it the last layer can be fitted in closed form, as ``equipot fit`` does.

        Returns:
            The parameter itself, of any shape; None, the default, if there is none.
        """
        return None


class EnergyTermModule(torch.nn.Module, ABC):
    """A term added to the scaled atomic energies; ``requires`` works as for EnergyModule."""

    requires: ClassVar[tuple[str, ...]] = ("edge_lengths", "edge_index", "atom_types")
    """Fields that it reads; those that an energy module provides are allowed too."""

    r_max: float | None = None
    """Own cutoff radius in Å; None for the model's edges."""

    locality: Locality = "strict"
    """How far away atoms influence an atom's energy, beyond the fields that it reads; as for EnergyModule."""

    boundary: tuple[str, ...] = BOUNDARIES
    """Frames that it is made for: some of ``molecule``, ``wire``, ``slab`` and ``bulk``, which are periodic in 0, 1, 2
    and 3 directions. The model refuses others by name."""

    @abstractmethod
    def forward(self, data: Graph) -> torch.Tensor:
        """Energy of the term.

        Args:
            data: The fields in ``requires``.

        Returns:
            Energies to add to each atom, float64, shape [n_atoms].
        """


class OutputHead(torch.nn.Module, ABC):
    """Predicts further properties from what a model has computed: charges, a dipole moment, an uncertainty.

    A head never changes energies or forces. It does not see what other heads predict.
    """

    requires: tuple[str, ...] = ("node_features",)
    """Fields that it reads: inputs of the model, geometry of its own edges, what its energy module provides,
    ``node_features``, and ``atomic_energy`` and ``total_energy`` as the model gives them."""

    provides: tuple[str, ...] = ()
    """Fields that it predicts, declared with the hook ``equipot_fields``; per atom or per frame."""

    sums: tuple[str, ...] = ()
    """Those per frame of which it returns the parts of the atoms, shape [n_atoms, ...], for the model to add up.
    Engines with ghost atoms, which have a frame in parts, can use no others."""

    locality: Locality = "strict"
    """How far away atoms influence an atom's prediction, beyond the fields that it reads; as for EnergyModule."""

    boundary: tuple[str, ...] = BOUNDARIES
    """As for EnergyTermModule."""

    @abstractmethod
    def forward(self, data: Graph) -> Graph:
        """Predict.

        Args:
            data: The fields in ``requires``; geometry in Å, float64, features in the model's dtype.

        Returns:
            The fields in ``provides``, in the shape of the field or, for those in ``sums``, [n_atoms, ...]. The model
            converts floating point numbers to the field's dtype.
        """


@dataclasses.dataclass(frozen=True, kw_only=True)
class EnergyTerm(Options, ABC):
    """Options of an energy term; ``build`` makes the module."""

    def own_r_max(self) -> float | None:
        """Cutoff radius in Å, the module's ``r_max``, if the term has its own edges; None for the model's edges."""
        return None

    @abstractmethod
    def build(self, context: BuildContext) -> EnergyTermModule:
        """Make the module.

        Args:
            context: Types, cutoffs, dtype and units of the model it joins.

        Returns:
            The term with its initial parameters.
        """


class PairEnergy(torch.nn.Module, ABC):
    """The function of a pair potential, without cutoff, factor one half and sums, which core adds."""

    @abstractmethod
    def forward(self, r: torch.Tensor, type_i: torch.Tensor, type_j: torch.Tensor) -> torch.Tensor:
        """Energy of each pair.

        Args:
            r: Distances in Å, float64, shape [n_edges].
            type_i: Types of the centres, int64, shape [n_edges].
            type_j: Types of the neighbours, int64, shape [n_edges].

        Returns:
            Full pair energies in the model's energy unit, float64, shape [n_edges].
        """


@dataclasses.dataclass(frozen=True, kw_only=True)
class PairPotential(EnergyTerm):
    """Options of a pair potential; a plugin writes its fields and ``build_pair_energy``.

    The model's energy gains 1/2 · pair_energy(r) · u(r / R[centre, neighbour]) for every directed
    edge, on the centre; both directions together give the full pair energy. u is the polynomial
    cutoff (Gasteiger et al., DimeNet, arXiv:2003.03123, eq. 8).
    """

    polynomial_cutoff_p: Annotated[float, Field(ge=2)] = 6.0
    """Exponent p of the polynomial cutoff, at least 2."""

    @abstractmethod
    def build_pair_energy(self, context: BuildContext) -> PairEnergy:
        """Make the pair function.

        Args:
            context: Types, cutoffs and units of the model it joins.

        Returns:
            The function of distance and types.
        """

    def build(self, context: BuildContext) -> EnergyTermModule:
        """Add cutoff, factor one half and the sum over edges to the pair function."""
        return PairPotentialModule(self.build_pair_energy(context), self.polynomial_cutoff_p)

    def expected_units(self) -> Units | None:
        """Unit system that the potential works in, which must be that of the data; None for any."""
        return getattr(self, "units", None)

    def expected_species(self) -> tuple[str, ...] | None:
        """Element symbols that the potential was given, which must be the types' species; None for any."""
        species = getattr(self, "chemical_species", None)
        return None if species is None else tuple(species)


@dataclasses.dataclass(frozen=True, kw_only=True)
class AnalyticPairPotential(PairPotential):
    """A pair potential that is a formula of distance, types and options; a plugin writes ``pair_energy``.

    A potential with tables by type or trainable parameters derives from ``PairPotential`` instead.
    """

    @abstractmethod
    def pair_energy(self, r: torch.Tensor, type_i: torch.Tensor, type_j: torch.Tensor) -> torch.Tensor:
        """Energy of each pair.

        Args:
            r: Distances in Å, float64, shape [n_edges].
            type_i: Types of the centres, int64, shape [n_edges].
            type_j: Types of the neighbours, int64, shape [n_edges].

        Returns:
            Full pair energies in the model's energy unit, float64, shape [n_edges].
        """

    def build_pair_energy(self, context: BuildContext) -> PairEnergy:
        """Make a module of ``pair_energy``."""
        return _Formula(self.pair_energy)


class _Formula(PairEnergy):
    """A function of distance and types as a module."""

    def __init__(self, function: Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, r: torch.Tensor, type_i: torch.Tensor, type_j: torch.Tensor) -> torch.Tensor:
        return self.function(r, type_i, type_j)


class PairPotentialModule(EnergyTermModule):
    """Sum of a pair function, cut off by a polynomial, over directed edges."""

    requires = ("edge_lengths", "normalized_edge_lengths", "edge_index", "atom_types")

    def __init__(self, pair_energy: PairEnergy, polynomial_cutoff_p: float) -> None:
        super().__init__()
        self.pair_energy = pair_energy
        self.polynomial_cutoff_p = polynomial_cutoff_p

    def forward(self, data: Graph) -> torch.Tensor:
        """Half the energy of each directed edge, summed onto the centres, in the model's unit; shape [n_atoms]."""
        centre, neighbour = data["edge_index"][0], data["edge_index"][1]
        types = data["atom_types"]
        pair = self.pair_energy(data["edge_lengths"], types.index_select(0, centre), types.index_select(0, neighbour))
        cutoff = polynomial_cutoff(data["normalized_edge_lengths"], self.polynomial_cutoff_p)
        zeros = torch.zeros(types.shape[0], dtype=pair.dtype, device=pair.device)
        return zeros.index_add(0, centre, 0.5 * pair * cutoff)


@dataclasses.dataclass(frozen=True)
class EdgeSetGradient:
    """Gradient of the energy with respect to the vectors of one edge set."""

    edge_index: torch.Tensor
    """Shape [2, n_edges]."""
    edge_vectors: torch.Tensor
    """Å, shape [n_edges, 3]."""
    gradient: torch.Tensor
    """dE/d(edge_vectors), eV/Å, shape [n_edges, 3]."""


@dataclasses.dataclass(frozen=True)
class EnergyGradients:
    """All explicit gradients of the total energy, for a derivatives module."""

    edge_sets: tuple[EdgeSetGradient, ...]
    """The model's own edges first, then the edges of terms with their own radius."""
    positions: torch.Tensor | None
    """Explicit dE/d(positions), eV/Å, [n_atoms, 3]; None unless a component requires positions."""
    cell: torch.Tensor | None
    """Explicit dE/d(cell), eV/Å, [n_frames, 3, 3]; None unless a component requires the cell."""


class Derivatives(torch.nn.Module, ABC):
    """Turns gradients of the energy into outputs such as forces and stress.

    Core differentiates; a module in this slot never calls autograd.
    """

    provides: tuple[str, ...] = ()
    """Output fields."""

    @abstractmethod
    def forward(self, data: Graph, gradients: EnergyGradients) -> Graph:
        """Assemble the outputs.

        Args:
            data: ``positions, cell, pbc, batch, num_atoms`` of the batch.
            gradients: Explicit gradients of the sum of all energies.

        Returns:
            The fields in ``provides`` (and ``stress_mask`` with a stress).
        """
