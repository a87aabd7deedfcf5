"""The NequIP model in four sizes."""

from __future__ import annotations

import dataclasses
from typing import Any, ClassVar

from equipot.model import FROM_PRESET, Presets, apply_preset
from equipot_nequip._builder import Layers, NequIPGNNModel, Width

SHARED: dict[str, Any] = {
    "parity": False,
    "type_embed_num_features": 32,
    "radial_mlp_depth": 1,
    "radial_mlp_width": 128,
}
PRESETS: dict[str, dict[str, Any]] = {
    "S": {**SHARED, "num_layers": 2, "l_max": 1, "num_features": [128, 64]},
    "M": {**SHARED, "num_layers": 4, "l_max": 2, "num_features": [128, 64, 32]},
    "L": {**SHARED, "num_layers": 6, "l_max": 3, "num_features": [128, 64, 32, 32]},
    "XL": {**SHARED, "num_layers": 6, "l_max": 4, "num_features": [320, 96, 64, 32, 32]},
}
"""Options of each size."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class PresetNequIPGNNModel(NequIPGNNModel):
    """NequIPGNNModel in one of four sizes; options that are given too win over the preset."""

    presets: ClassVar[Presets] = PRESETS

    preset: str
    """Size: S, M, L or XL, in either case."""

    num_layers: Layers = FROM_PRESET
    """Number of interaction layers; default: the preset's."""

    l_max: int = FROM_PRESET
    """Largest angular momentum l; default: the preset's."""

    parity: bool = FROM_PRESET
    """Features of both parities for each l; default: the preset's."""

    num_features: Width | list[Width] = FROM_PRESET
    """Number of channels, one for all l or one for each; default: the preset's."""

    type_embed_num_features: Width | None = FROM_PRESET
    """Width of the embedding of atom types; default: the preset's."""

    radial_mlp_depth: int = FROM_PRESET
    """Hidden layers of the radial network; default: the preset's."""

    radial_mlp_width: Width = FROM_PRESET
    """Width of the radial network's hidden layers; default: the preset's."""

    def __post_init__(self) -> None:
        """Fill in the preset, then check everything.

        Raises:
            ConfigError: On an unknown preset, or with every problem found.
        """
        apply_preset(self)
        super().__post_init__()
