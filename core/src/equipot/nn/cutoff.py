"""Cutoff functions: smooth envelopes that are exactly zero from the cutoff radius on."""

from __future__ import annotations

import torch


def polynomial_cutoff(x: torch.Tensor, p: float) -> torch.Tensor:
    r"""Polynomial envelope with two vanishing derivatives at x = 1.

    .. math:: u(x) = 1 - \tfrac{(p+1)(p+2)}{2} x^p + p(p+2) x^{p+1} - \tfrac{p(p+1)}{2} x^{p+2}

    Args:
        x: Distances divided by their cutoff radius, shape [n_edges].
        p: Exponent, at least 2.

    Returns:
        u(x) for x < 1, else 0; same shape and dtype as ``x``.

    Source: Gasteiger, Groß, Günnemann (2020), arXiv:2003.03123, eq. 8.
    """
    power = x**p
    envelope = 1.0 - power * ((p + 1.0) * (p + 2.0) / 2.0 - x * (p * (p + 2.0) - x * (p * (p + 1.0) / 2.0)))
    return envelope * (x < 1.0)
