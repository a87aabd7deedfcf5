"""Real spherical harmonics of directions, as harmonic polynomials."""

from __future__ import annotations

import math

import torch

from equipot.nn.irreps import FeatureLayout


class SphericalHarmonics(torch.nn.Module):
    r"""Spherical harmonics :math:`Y_{lm}(\hat r)` up to ``l_max``, with :math:`|Y_l|^2 = 2l + 1`.

    The order of components and the signs are e3nn's: the polar axis is y, m runs from -l to l, and l = 1 is
    √3·(x, y, z). All are homogeneous polynomials of degree l,

    .. math:: Y_{l,\pm m} = N_{lm}\, \Pi_{lm}(y, r^2)\, \{\mathrm{Re}, \mathrm{Im}\}\,(z + i x)^m,

    computed by recursion in l and m as products of columns. For so few components this is much faster than
    products of small matrices, and a compiler can fuse it into one loop.

    Args:
        l_max: Largest angular momentum.

    Source: recursion of the associated Legendre functions, DLMF 14.10.3, https://dlmf.nist.gov/14.10.
    """

    def __init__(self, l_max: int) -> None:
        super().__init__()
        self.l_max = l_max
        self.layout = FeatureLayout.spherical_harmonics(l_max)

    def forward(self, directions: torch.Tensor) -> torch.Tensor:
        """Evaluate.

        Args:
            directions: Unit vectors, float64, shape [n, 3].

        Returns:
            Float64, shape [n, (l_max + 1)²]; l ascending.
        """
        if self.l_max < 2:
            return torch.cat([torch.ones_like(directions[:, :1]), math.sqrt(3.0) * directions][: self.l_max + 1], dim=1)
        x, y, z = directions.t().contiguous().unbind(0)
        one = torch.ones_like(x)
        around = [(one, one)]  # real and imaginary part of (z + ix)^m; the latter is not used for m = 0
        for m in range(1, self.l_max + 1):
            real, imaginary = around[-1]
            around.append((z, x) if m == 1 else (z * real - x * imaginary, z * imaginary + x * real))
        columns: list[list[torch.Tensor]] = [[one] * (2 * l + 1) for l in range(self.l_max + 1)]
        squared = x * x + y * y + z * z
        for m, (real, imaginary) in enumerate(around):
            for l, legendre in enumerate(_legendre(m, self.l_max, y, squared), start=m):
                norm = _norm(l, m)
                if legendre is None:
                    columns[l][l + m], columns[l][l - m] = norm * real, norm * imaginary
                else:
                    scaled = norm * legendre
                    columns[l][l + m] = scaled * real if m else scaled
                    columns[l][l - m] = scaled * imaginary if m else scaled
        return torch.stack([column for degree in columns for column in degree], dim=1)


def _norm(l: int, m: int) -> float:
    """Factor of a component, with that of the first Legendre function for m."""
    double_factorial = math.prod(range(2 * m - 1, 1, -2))
    ratio = math.factorial(l - m) / math.factorial(l + m)
    return double_factorial * math.sqrt((2 * l + 1) * (2 if m else 1) * ratio)


def _legendre(m: int, l_max: int, y: torch.Tensor, squared: torch.Tensor) -> list[torch.Tensor | None]:
    """Homogeneous Legendre functions of degree l - m for l = m ... l_max, divided by the first; None is 1."""
    found: list[torch.Tensor | None] = [None]
    for l in range(m + 1, l_max + 1):
        previous, before = found[-1], found[-2] if l > m + 1 else None
        ahead = ((2 * l - 1) / (l - m)) * (y if previous is None else y * previous)
        if l > m + 1:
            behind = ((l + m - 1) / (l - m)) * (squared if before is None else squared * before)
            ahead = ahead - behind
        found.append(ahead)
    return found
