"""The Allegro model in four sizes."""

from __future__ import annotations

import dataclasses
from typing import Any, ClassVar

from equipot.model import FROM_PRESET, Presets, apply_preset
from equipot_allegro._builder import AllegroModel, Layers, LMax
from equipot_allegro._embedding import TwoBodyBesselScalarEmbed, TwoBodyScalarEmbed, Width

_SHARED: dict[str, Any] = {"parity": False, "radial_chemical_embed": TwoBodyBesselScalarEmbed()}
PRESETS: dict[str, dict[str, Any]] = {
    "S": {**_SHARED, "num_layers": 1, "l_max": 1, "num_scalar_features": 32, "num_tensor_features": 16},
    "M": {**_SHARED, "num_layers": 2, "l_max": 2, "num_scalar_features": 64, "num_tensor_features": 32},
    "L": {**_SHARED, "num_layers": 2, "l_max": 3, "num_scalar_features": 128, "num_tensor_features": 64},
    "XL": {**_SHARED, "num_layers": 3, "l_max": 3, "num_scalar_features": 128, "num_tensor_features": 64},
}
"""Options of each size, which are equipot's own choice; the reference implementation has no presets."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class PresetAllegroModel(AllegroModel):
    """AllegroModel in one of four sizes; options that are given explicitly override the preset."""

    presets: ClassVar[Presets] = PRESETS

    preset: str
    """Size: S, M, L or XL, in upper or lower case."""

    num_layers: Layers = FROM_PRESET
    """Number of tensor layers; default: the preset's."""

    l_max: LMax = FROM_PRESET
    """Largest angular momentum l; default: the preset's."""

    parity: bool = FROM_PRESET
    """Whether tensors between layers have both parities; default: the preset's."""

    radial_chemical_embed: TwoBodyScalarEmbed = FROM_PRESET
    """Embedding of an edge's length and types; default: TwoBodyBesselScalarEmbed."""

    num_scalar_features: Width = FROM_PRESET
    """Number of scalar features of an edge in each layer; default: the preset's."""

    num_tensor_features: Width = FROM_PRESET
    """Number of channels of an edge's tensors; default: the preset's."""

    def __post_init__(self) -> None:
        """Fill in the preset, then check everything.

        Raises:
            ConfigError: On an unknown preset, or with every problem found.
        """
        apply_preset(self)
        super().__post_init__()
