"""The sizes of models that are tried, and what a training step of each costs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Size:
    """A size of a model, and what a training step is expected to cost, with kernels."""

    options: Mapping[str, Any]
    fixed: float
    """Seconds of a step that do not depend on the batch."""
    per_edge: float
    """Seconds for each edge of the batch."""

    @property
    def width(self) -> int:
        """Scalar features."""
        return int(self.options.get("num_features", self.options.get("num_scalar_features", 0)))

    def seconds(self, edges: float) -> float:
        """Expected seconds of a step.

        Args:
            edges: Of a batch.
        """
        return self.fixed + self.per_edge * edges


def _nequip(layers: int, l_max: int, features: int, width: int) -> dict[str, Any]:
    return {
        "num_layers": layers,
        "l_max": l_max,
        "parity": False,
        "num_features": features,
        "radial_mlp_width": width,
    }


def _allegro(layers: int, l_max: int, scalars: int, tensors: int) -> dict[str, Any]:
    return {
        "num_layers": layers,
        "l_max": l_max,
        "parity": False,
        "num_scalar_features": scalars,
        "num_tensor_features": tensors,
    }


SIZES: dict[str, tuple[Size, ...]] = {
    "nequip": (
        Size(_nequip(2, 1, 16, 32), 0.004, 4e-6),
        Size(_nequip(3, 1, 32, 32), 0.004, 6e-6),
        Size(_nequip(3, 2, 16, 32), 0.004, 7e-6),
        Size(_nequip(3, 2, 32, 64), 0.007, 9e-6),
        Size(_nequip(3, 3, 32, 64), 0.009, 11e-6),
        Size(_nequip(4, 3, 32, 64), 0.013, 21e-6),
        Size(_nequip(4, 3, 64, 64), 0.025, 105e-6),
    ),
    "allegro": (
        Size(_allegro(1, 1, 32, 8), 0.004, 7e-6),
        Size(_allegro(2, 2, 32, 16), 0.005, 12e-6),
        Size(_allegro(2, 2, 64, 32), 0.007, 22e-6),
        Size(_allegro(2, 3, 128, 64), 0.024, 43e-6),
    ),
}
"""Sizes of both families, from small to large. Costs are CPU times of steps on one core of an Intel Xeon server, with
kernels, by ``benchmarks/fit_costs.py``, rounded, and evened out between the second and third size, whose order changed
from run to run. Angular momentum comes before channels: the page on the recipe of training shows why."""
