"""The hyperparameters of the Allegro model, and how it is built from them."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import Annotated, Literal

from pydantic import Field

from equipot.errors import ConfigError, problem
from equipot.model import BuildContext, EnergyModule, ModelBuilder, neighbors_per_type
from equipot.nn.irreps import FeatureLayout, Irrep
from equipot.nn.mlp import nonlinearity_problem
from equipot.nn.spherical import SphericalHarmonics
from equipot_allegro._embedding import EmbeddingContext, TwoBodyBesselScalarEmbed, TwoBodyScalarEmbed, Width
from equipot_allegro._energy import AllegroEnergy, LayerOptions, NetworkOptions, tensor_layouts
from equipot_allegro._two_body import TwoBody

Depth = Annotated[int, Field(ge=0, le=100)]
Layers = Annotated[int, Field(gt=0, le=100)]
LMax = Annotated[int, Field(ge=0, le=8)]


@dataclasses.dataclass(frozen=True, kw_only=True)
class AllegroModel(ModelBuilder):
    """Strictly local equivariant potential (Allegro).

    Source: Musaelian et al. (2023), doi:10.1038/s41467-023-36329-y.
    """

    citations = ("Musaelian et al., Nat. Commun. 14, 579 (2023), doi:10.1038/s41467-023-36329-y",)

    node_features = "sums over an atom's edges: scalars of the last layer, then the tensors that it received"

    l_max: LMax
    """Largest angular momentum l of tensors and spherical harmonics; the cost grows quickly with it."""

    parity: bool = True
    """Whether tensors between layers have both parities for each l; with false only the natural parity (-1)^l."""

    radial_chemical_embed: TwoBodyScalarEmbed
    """Embedding of an edge's length and types: TwoBodyBesselScalarEmbed or TwoBodySplineScalarEmbed."""

    radial_chemical_embed_dim: Width | None = None
    """Width of that embedding; default: num_scalar_features. It must be even for TwoBodyBesselScalarEmbed."""

    scalar_embed_mlp_hidden_layers_depth: Depth = 1
    """Number of hidden layers of the network from the embedding to an edge's first scalars."""

    scalar_embed_mlp_hidden_layers_width: Width = 64
    """Width of its hidden layers."""

    scalar_embed_mlp_nonlinearity: str | None = "silu"
    """Nonlinearity: silu, mish, gelu, ssp (shifted softplus), tanh, or null for none."""

    num_layers: Layers = 2
    """Number of tensor layers; each one raises the body order, but not the range."""

    num_scalar_features: Width = 64
    """Number of scalar features of an edge in each layer."""

    num_tensor_features: Width = 16
    """Number of channels of an edge's tensors."""

    allegro_mlp_hidden_layers_depth: Depth = 1
    """Number of hidden layers of the networks that update the scalars in each layer."""

    allegro_mlp_hidden_layers_width: Width = 64
    """Width of their hidden layers."""

    allegro_mlp_nonlinearity: str | None = "silu"
    """Nonlinearity, see scalar_embed_mlp_nonlinearity."""

    tp_path_channel_coupling: bool = True
    """Whether each channel has its own path weights in the tensor product; with false all channels share them."""

    readout_mlp_hidden_layers_depth: Depth = 1
    """Number of hidden layers of the readout from all scalars of an edge to its energy."""

    readout_mlp_hidden_layers_width: Width = 32
    """Width of its hidden layers."""

    readout_mlp_nonlinearity: str | None = "silu"
    """Nonlinearity, see scalar_embed_mlp_nonlinearity."""

    avg_num_neighbors: float | dict[str, float] | None = None
    """Average number of neighbours of an atom, one or one per type; required, usually a training data statistic."""

    weight_individual_irreps: bool = True
    """Whether each irrep has its own weights in the environment sums; with false all irreps of a channel share one."""

    per_edge_type_cutoff: dict[str, float | dict[str, float]] | None = None
    """Cutoff radii in Å by pair of types, {centre: r} or {centre: {neighbour: r}}, at most r_max; default: r_max."""

    forward_normalize: bool = True
    """Whether initial weights keep activations of order 1; with false they keep gradients of order 1."""

    def problems(self) -> Iterable[str]:
        """Problems that involve several fields."""
        yield from super().problems()
        bessel = isinstance(self.radial_chemical_embed, TwoBodyBesselScalarEmbed)
        if bessel and self._embed_dim() % 2:
            name = "num_scalar_features" if self.radial_chemical_embed_dim is None else "radial_chemical_embed_dim"
            hint = "one half of the embedding belongs to the centre, the other to the neighbour"
            yield problem(name, "must be even for TwoBodyBesselScalarEmbed", got=self._embed_dim(), hint=hint)
        for part in ("scalar_embed", "allegro", "readout"):
            name = f"{part}_mlp_nonlinearity"
            if wrong := nonlinearity_problem(getattr(self, name), name):
                yield wrong
        try:
            neighbors_per_type(self.avg_num_neighbors, self.type_names)
        except ConfigError as error:
            yield from error.problems

    def _embed_dim(self) -> int:
        return self.radial_chemical_embed_dim or self.num_scalar_features

    def _init(self) -> Literal["forward", "backward"]:
        return "forward" if self.forward_normalize else "backward"

    def layouts(self) -> list[FeatureLayout]:
        """Irreps of the tensors before the first and after each layer."""
        edge = FeatureLayout.spherical_harmonics(self.l_max)
        both = FeatureLayout((1, Irrep(l, p)) for l in range(self.l_max + 1) for p in (1, -1))
        return tensor_layouts(edge, both if self.parity else edge, self.num_layers)

    def _network(self, part: str) -> NetworkOptions:
        return NetworkOptions(
            depth=getattr(self, f"{part}_hidden_layers_depth"),
            width=getattr(self, f"{part}_hidden_layers_width"),
            nonlinearity=getattr(self, f"{part}_nonlinearity"),
        )

    def _layer_options(self, context: BuildContext) -> LayerOptions:
        num_channels = self.num_tensor_features
        return LayerOptions(
            num_scalars=self.num_scalar_features,
            num_channels=num_channels,
            num_env_weights=num_channels * (self.l_max + 1 if self.weight_individual_irreps else 1),
            channel_weights=self.tp_path_channel_coupling,
            latent=self._network("allegro_mlp"),
            readout=self._network("readout_mlp"),
            init=self._init(),
            dtype=context.model_dtype,
            generator=context.generator,
        )

    def _two_body(self, context: BuildContext, options: LayerOptions) -> TwoBody:
        embedding_context = EmbeddingContext(
            num_types=context.num_types,
            dim=self._embed_dim(),
            init=options.init,
            dtype=options.dtype,
            generator=options.generator,
        )
        network = self._network("scalar_embed_mlp")
        # The first tensors have a weight for each irrep, even if the irreps share weights in the environment sums.
        num_tensor_weights = self.num_tensor_features * (self.l_max + 1)
        return TwoBody(
            self.radial_chemical_embed.build(embedding_context),
            dims=network.dims(self._embed_dim(), self.num_scalar_features),
            nonlinearity=network.nonlinearity,
            sizes=(self.num_scalar_features, options.num_env_weights, num_tensor_weights),
            context=embedding_context,
        )

    def build_energy(self, context: BuildContext) -> EnergyModule:
        """Build the energy module with its initial weights."""
        options = self._layer_options(context)
        return AllegroEnergy(
            context.num_types,
            spherical=SphericalHarmonics(self.l_max),
            two_body=self._two_body(context, options),
            layouts=self.layouts(),
            options=options,
            avg_num_neighbors=neighbors_per_type(self.avg_num_neighbors, context.type_names),
        )
