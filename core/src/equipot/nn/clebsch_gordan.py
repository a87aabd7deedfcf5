"""Real Clebsch-Gordan tensors, as computed by e3nn."""

from __future__ import annotations

import torch


def clebsch_gordan(l_1: int, l_2: int, l_out: int) -> torch.Tensor:
    """Wigner 3j tensor of real spherical harmonics, of Frobenius norm 1.

    Components are in e3nn's order; for l = 1 that is x, y, z. Trained weights depend on the sign, and releases of e3nn
    differ in it (0.4 and 0.6 in (1, 2, 2) and others), so it is fixed here: the component with all m = 0 is positive
    where l_1 + l_2 + l_out is even, the one with m = (0, 1, -1) where it is odd.

    Args:
        l_1: Angular momentum of the first factor.
        l_2: Angular momentum of the second factor.
        l_out: Angular momentum of the product.

    Returns:
        Float64, shape [2 l_1 + 1, 2 l_2 + 1, 2 l_out + 1].

    Source: Geiger and Smidt (2022), arXiv:2207.09453 (e3nn).
    """
    with torch.serialization.safe_globals([slice]):  # e3nn 0.4 reads its tables with torch.load when it is imported
        from e3nn.o3 import wigner_3j

    tensor: torch.Tensor = wigner_3j(l_1, l_2, l_out, dtype=torch.float64, device=torch.device("cpu"))
    odd = (l_1 + l_2 + l_out) % 2
    return tensor if tensor[l_1, l_2 + odd, l_out - odd] > 0.0 else -tensor
