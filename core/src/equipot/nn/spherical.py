"""Real spherical harmonics of directions, by recursion in l."""

from __future__ import annotations

import math

import torch

from equipot.nn.clebsch_gordan import clebsch_gordan
from equipot.nn.irreps import FeatureLayout


class SphericalHarmonics(torch.nn.Module):
    r"""Spherical harmonics :math:`Y_{lm}(\hat r)` up to ``l_max``, with :math:`|Y_l|^2 = 2l + 1`.

    The order of components and the signs are e3nn's: l = 1 is √3·(x, y, z), and :math:`Y_l` of the y
    axis has a positive middle component. :math:`Y_l` is made of :math:`Y_{l-1}` and :math:`Y_1` by
    one Clebsch-Gordan product, so values and all derivatives are polynomials in the direction.

    Args:
        l_max: Largest angular momentum.
    """

    def __init__(self, l_max: int) -> None:
        super().__init__()
        self.l_max = l_max
        self.layout = FeatureLayout.spherical_harmonics(l_max)
        for l, matrix in enumerate(_recursion(l_max), start=2):
            self.register_buffer(f"recursion_{l}", matrix, persistent=False)

    def forward(self, directions: torch.Tensor) -> torch.Tensor:
        """Evaluate.

        Args:
            directions: Unit vectors, float64, shape [n, 3].

        Returns:
            Float64, shape [n, (l_max + 1)²]; l ascending.
        """
        parts = [torch.ones_like(directions[:, :1])]
        if self.l_max > 0:
            parts.append(math.sqrt(3.0) * directions)
        for l in range(2, self.l_max + 1):
            outer = parts[-1].unsqueeze(2) * directions.unsqueeze(1)
            parts.append(outer.flatten(1) @ self.get_buffer(f"recursion_{l}"))
        return torch.cat(parts, dim=1)


def _recursion(l_max: int) -> list[torch.Tensor]:
    """Matrices that take the outer product of Y_{l-1} and a direction to Y_l, for l = 2 ... l_max."""
    axis = torch.tensor([0.0, 1.0, 0.0], dtype=torch.float64)
    previous = math.sqrt(3.0) * axis
    matrices = []
    for l in range(2, l_max + 1):
        coupling = clebsch_gordan(l - 1, 1, l).reshape(-1, 2 * l + 1)
        raw = torch.outer(previous, axis).flatten() @ coupling
        # The middle component is the only one that the y axis has; it is to be +√(2l+1).
        matrices.append(coupling * (math.sqrt(2 * l + 1) / raw[l]))
        previous = torch.zeros(2 * l + 1, dtype=torch.float64)
        previous[l] = math.sqrt(2 * l + 1)
    return matrices
