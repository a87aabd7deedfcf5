"""The hyperparameters of the NequIP model, and how it is built from them."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable
from typing import Annotated

from pydantic import Field

from equipot.errors import ConfigError, problem
from equipot.model import BuildContext, EnergyModule, ModelBuilder, neighbors_per_type
from equipot.nn.irreps import FeatureLayout, Irrep
from equipot.nn.mlp import nonlinearity_problem
from equipot.nn.radial import RadialEmbedding
from equipot.nn.spherical import SphericalHarmonics
from equipot_nequip._energy import NequIPEnergy, ReadoutOptions
from equipot_nequip._interaction import LayerOptions

# The bounds hold for files of strangers too, which can ask for anything.
Width = Annotated[int, Field(gt=0, le=65_536)]
Depth = Annotated[int, Field(ge=0, le=100)]
Layers = Annotated[int, Field(gt=0, le=100)]
LMax = Annotated[int, Field(ge=0, le=8)]


@dataclasses.dataclass(frozen=True, kw_only=True)
class NequIPGNNModel(ModelBuilder):
    """Equivariant message-passing potential (NequIP).

    Source: Batzner et al. (2022), doi:10.1038/s41467-022-29939-5.
    """

    citations = ("Batzner et al., Nat. Commun. 13, 2453 (2022), doi:10.1038/s41467-022-29939-5",)

    node_features = "scalars of the last layer, then scalars and tensors of the layer before it"

    avg_num_neighbors: float | dict[str, float] | None = None
    """Average number of neighbours of an atom, one or one per type; required, usually a training data statistic."""

    num_layers: Layers = 4
    """Number of interaction layers; an atom's energy depends on atoms within that many times r_max."""

    l_max: LMax = 1
    """Largest angular momentum l of features and spherical harmonics; the cost grows quickly with it."""

    parity: bool = True
    """Whether features have both parities for each l; with false only the natural parity (-1)^l, which is cheaper."""

    num_features: Width | Annotated[list[Width], Field(min_length=1)] = 32
    """Number of channels: one number for all l, or a list with one for each l = 0 ... l_max."""

    type_embed_num_features: Width | None = None
    """Width of the embedding of atom types; default: the number of channels of l = 0."""

    type_embed_periodic_table: bool = False
    """Whether elements that are near each other in the periodic table begin with similar embeddings, which helps where
    there are many elements and few frames of each."""

    radial_mlp_depth: Depth = 1
    """Number of hidden layers of the radial network, which maps a distance to the weights of the tensor product."""

    radial_mlp_width: Width = 128
    """Width of the radial network's hidden layers."""

    readout_mlp_hidden_layers_depth: Depth = 0
    """Number of hidden layers of the readout from scalar features to the energy; 0 means a linear readout."""

    readout_mlp_hidden_layers_width: Width | None = None
    """Width of the readout's hidden layers; default: the number of channels of l = 0."""

    readout_mlp_nonlinearity: str | None = "silu"
    """Nonlinearity: silu, mish, gelu, ssp (shifted softplus), tanh, or null for none."""

    num_bessels: Width = 8
    """Number of Bessel functions of the distance."""

    bessel_trainable: bool = False
    """Whether to train the roots of the Bessel functions."""

    polynomial_cutoff_p: Annotated[float, Field(ge=2)] = 6
    """Exponent p of the polynomial cutoff function; with larger values it stays close to 1 up to longer distances."""

    per_edge_type_cutoff: dict[str, float | dict[str, float]] | None = None
    """Cutoff radii in Å by pair of types, {centre: r} or {centre: {neighbour: r}}, at most r_max; default: r_max."""

    def problems(self) -> Iterable[str]:
        """Problems that involve several fields."""
        yield from super().problems()
        if isinstance(self.num_features, list) and len(self.num_features) != self.l_max + 1:
            hint = f"list l_max + 1 = {self.l_max + 1} numbers, or give one for all l"
            yield problem(
                "num_features", "must have one number for each l = 0 ... l_max", got=self.num_features, hint=hint
            )
        if self.type_embed_periodic_table and not self._elements_known():
            hint = "give chemical_species, the symbol of each type"
            yield problem("type_embed_periodic_table", "needs types that are elements", got=self.type_names, hint=hint)
        if wrong := nonlinearity_problem(self.readout_mlp_nonlinearity, "readout_mlp_nonlinearity"):
            yield wrong
        try:
            neighbors_per_type(self.avg_num_neighbors, self.type_names)
        except ConfigError as error:
            yield from error.problems

    def _elements_known(self) -> bool:
        """Whether each type has an element; wrong symbols are a problem of their own."""
        try:
            return self.info().chemical_species is not None
        except ConfigError:
            return True

    def feature_layouts(self) -> list[FeatureLayout]:
        """Wanted irreps of the features after each layer; after the last layer only scalars."""
        channels = self._channels()
        hidden = FeatureLayout(
            (mul, Irrep(l, p)) for l, mul in enumerate(channels) for p in ((1, -1) if self.parity else ((-1) ** l,))
        )
        last = FeatureLayout([(channels[0], Irrep(0, 1))])
        return [hidden] * (self.num_layers - 1) + [last]

    def _channels(self) -> list[int]:
        if isinstance(self.num_features, list):
            return list(self.num_features)
        return [self.num_features] * (self.l_max + 1)

    def build_energy(self, context: BuildContext) -> EnergyModule:
        """Build the energy module with its initial weights."""
        spherical = SphericalHarmonics(self.l_max)
        radial = RadialEmbedding(
            self.num_bessels,
            trainable=self.bessel_trainable,
            polynomial_cutoff_p=self.polynomial_cutoff_p,
            dtype=context.model_dtype,
            # Makes radial features of order 1; it uses r_max even if some pairs have a radius of their own.
            scale=2.0 * math.pi / self.r_max**2,
        )
        options = LayerOptions(
            layout_edge=spherical.layout,
            embedding_dim=self.type_embed_num_features or self._channels()[0],
            radial=radial,
            radial_dims=(self.num_bessels, *[self.radial_mlp_width] * self.radial_mlp_depth),
            dtype=context.model_dtype,
            generator=context.generator,
        )
        return NequIPEnergy(
            context.num_types,
            spherical=spherical,
            feature_layouts=self.feature_layouts(),
            options=options,
            readout=ReadoutOptions(
                hidden_layers_depth=self.readout_mlp_hidden_layers_depth,
                hidden_layers_width=self.readout_mlp_hidden_layers_width,
                nonlinearity=self.readout_mlp_nonlinearity,
            ),
            avg_num_neighbors=neighbors_per_type(self.avg_num_neighbors, context.type_names),
            atomic_numbers=context.atomic_numbers if self.type_embed_periodic_table else None,
        )
