"""Real Clebsch-Gordan tensors, as computed by e3nn."""

from __future__ import annotations

import torch


def clebsch_gordan(l_1: int, l_2: int, l_out: int) -> torch.Tensor:
    """Wigner 3j tensor of real spherical harmonics, of Frobenius norm 1.

    Components are in e3nn's order, which is x, y, z for l = 1. The tests compare the signs with stored
    numbers, because trained weights depend on them.

    Args:
        l_1: Angular momentum of the first factor.
        l_2: Angular momentum of the second factor.
        l_out: Angular momentum of the product.

    Returns:
        Float64, shape [2 l_1 + 1, 2 l_2 + 1, 2 l_out + 1].

    Source: Geiger and Smidt (2022), arXiv:2207.09453 (e3nn).
    """
    from e3nn.o3 import wigner_3j

    return wigner_3j(l_1, l_2, l_out, dtype=torch.float64, device=torch.device("cpu"))
