"""What is compared: models with the same hyperparameters on both sides, and the frames they get."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

R_MAX = 5.0

NEQUIP: dict[str, Any] = {
    "seed": 1,
    "model_dtype": "float32",
    "r_max": R_MAX,
    "num_layers": 3,
    "l_max": 2,
    "parity": False,
    "num_features": 32,
    "radial_mlp_depth": 1,
    "radial_mlp_width": 64,
    "avg_num_neighbors": 52.0,
    "per_type_energy_shifts": 0.0,
    "per_type_energy_scales": 1.0,
}
ALLEGRO: dict[str, Any] = {
    "seed": 1,
    "model_dtype": "float32",
    "r_max": R_MAX,
    "num_layers": 2,
    "l_max": 2,
    "parity": False,
    "num_scalar_features": 64,
    "num_tensor_features": 32,
    "radial_chemical_embed_dim": 64,
    "scalar_embed_mlp_hidden_layers_depth": 1,
    "scalar_embed_mlp_hidden_layers_width": 64,
    "allegro_mlp_hidden_layers_depth": 1,
    "allegro_mlp_hidden_layers_width": 64,
    "readout_mlp_hidden_layers_depth": 1,
    "readout_mlp_hidden_layers_width": 32,
    "avg_num_neighbors": 52.0,
    "per_type_energy_shifts": 0.0,
    "per_type_energy_scales": 1.0,
}
SMALL: dict[str, Any] = {"r_max": 4.0, "avg_num_neighbors": 10.0}
"""What models of small molecules have in common."""
PRESET: dict[str, Any] = {"type_embed_num_features": 32, "radial_mlp_width": 128}


@dataclass(frozen=True)
class Case:
    """One comparison."""

    name: str
    model: str
    """``nequip`` or ``allegro``: builder here and peer there."""
    options: dict[str, Any] = field(default_factory=dict)
    """Hyperparameters that differ from ``NEQUIP`` or ``ALLEGRO``."""
    system: str = "water"
    """A key of ``systems.SYSTEMS``."""

    @property
    def type_names(self) -> list[str]:
        """Types of the system's atoms."""
        return ["H", "O"] if self.system == "water" else ["C", "H", "O"]

    @property
    def hyperparameters(self) -> dict[str, Any]:
        """All options, as both sides take them."""
        base = NEQUIP if self.model == "nequip" else ALLEGRO
        neighbors = {} if self.system == "water" else {"avg_num_neighbors": 7.9}  # ethanol's
        return {**base, "type_names": self.type_names, **neighbors, **self.options}


CASES: dict[str, Case] = {
    case.name: case
    for case in (
        Case("nequip", "nequip"),
        Case("nequip-l1", "nequip", {"l_max": 1}),
        Case("nequip-l3", "nequip", {"l_max": 3}),
        Case("nequip-parity", "nequip", {"parity": True}),
        Case("nequip-S", "nequip", {**PRESET, "num_layers": 2, "l_max": 1, "num_features": [128, 64]}),
        Case("nequip-M", "nequip", {**PRESET, "num_layers": 4, "l_max": 2, "num_features": [128, 64, 32]}),
        Case("nequip-float64", "nequip", {"model_dtype": "float64"}),
        Case("nequip-molecules", "nequip", system="molecules"),
        Case("nequip-small", "nequip", {**SMALL, "num_layers": 4}, "small"),
        Case("nequip-fixed", "nequip", {**SMALL, "num_layers": 4}, "three_atoms"),
        Case("nequip-ethanol", "nequip", {"r_max": 4.0, "num_layers": 4}, "ethanol"),
        Case("allegro", "allegro"),
        Case("allegro-l1", "allegro", {"l_max": 1}),
        Case("allegro-l3", "allegro", {"l_max": 3}),
        Case("allegro-parity", "allegro", {"parity": True}),
        Case("allegro-float64", "allegro", {"model_dtype": "float64"}),
        Case("allegro-molecules", "allegro", system="molecules"),
        Case("allegro-small", "allegro", SMALL, "small"),
        Case("allegro-fixed", "allegro", SMALL, "three_atoms"),
        Case("allegro-ethanol", "allegro", {"r_max": 4.0}, "ethanol"),
    )
}
