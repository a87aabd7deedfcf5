"""Real Clebsch-Gordan tensors, in the order and with the signs of e3nn."""

from __future__ import annotations

import functools
import math
from fractions import Fraction

import torch


def clebsch_gordan(l_1: int, l_2: int, l_out: int) -> torch.Tensor:
    r"""Wigner 3j tensor of real spherical harmonics, of Frobenius norm 1.

    Components are in e3nn's order; for l = 1 that is x, y, z. Trained weights depend on the sign, and releases of e3nn
    differ in it (0.4 and 0.6 in (1, 2, 2) and others), so it is fixed here: the component with all m = 0 is positive
    where l_1 + l_2 + l_out is even, the one with m = (0, 1, -1) where it is odd.

    It is :math:`\sum_{abc} U_{ia} U_{jb} U_{kc} (abc)`, with the 3j symbols (abc) of complex harmonics and the matrices
    U that make real ones of them; up to its phase, there is only one invariant tensor.

    Args:
        l_1: Angular momentum of the first factor.
        l_2: Angular momentum of the second factor.
        l_out: Angular momentum of the product.

    Returns:
        Float64, shape [2 l_1 + 1, 2 l_2 + 1, 2 l_out + 1].

    Source: Varshalovich, Moskalev, Khersonskii, Quantum Theory of Angular Momentum (1988), 8.2.1 (Racah).
    """
    return _tensor(l_1, l_2, l_out).clone()


@functools.lru_cache(maxsize=1024)  # layers and kernels ask for the same ones
def _tensor(l_1: int, l_2: int, l_out: int) -> torch.Tensor:
    symbols = torch.zeros(2 * l_1 + 1, 2 * l_2 + 1, 2 * l_out + 1, dtype=torch.complex128)
    for a in range(-l_1, l_1 + 1):
        for b in range(max(-l_2, -l_out - a), min(l_2, l_out - a) + 1):
            symbols[l_1 + a, l_2 + b, l_out - a - b] = _symbol(l_1, l_2, l_out, a, b)
    made = torch.einsum("ia,jb,kc,abc->ijk", *(_real_from_complex(degree) for degree in (l_1, l_2, l_out)), symbols)
    odd = (l_1 + l_2 + l_out) % 2
    # An odd sum makes the tensor imaginary, apart from the phase of the harmonics.
    tensor = made.imag if odd else made.real
    tensor = tensor / torch.linalg.vector_norm(tensor)
    return tensor if tensor[l_1, l_2 + odd, l_out - odd] > 0.0 else -tensor


def _symbol(l_1: int, l_2: int, l_3: int, a: int, b: int) -> float:
    """The 3j symbol of l_1, l_2, l_3 with a, b, -a - b, apart from factors that depend on the degrees alone."""
    f, c = math.factorial, -a - b
    first, last = max(0, l_2 - l_3 - a, l_1 - l_3 + b), min(l_1 + l_2 - l_3, l_1 - a, l_2 + b)
    total = Fraction(0)
    for t in range(first, last + 1):
        others = f(l_1 + l_2 - l_3 - t) * f(l_1 - a - t) * f(l_2 + b - t) * f(l_3 - l_2 + a + t) * f(l_3 - l_1 - b + t)
        total += Fraction((-1) ** t, f(t) * others)
    square = f(l_1 + a) * f(l_1 - a) * f(l_2 + b) * f(l_2 - b) * f(l_3 + c) * f(l_3 - c)
    return (-1) ** (c % 2) * math.sqrt(square) * float(total)


def _real_from_complex(degree: int) -> torch.Tensor:
    """Rows are real harmonics, from sin(l φ) to cos(l φ); columns are complex ones, from m = -l to l."""
    real, imaginary = torch.zeros(2, 2 * degree + 1, 2 * degree + 1, dtype=torch.float64)
    real[degree, degree] = 1.0
    for m in range(1, degree + 1):
        sign = (-1.0) ** m
        real[degree + m, degree + m], real[degree + m, degree - m] = sign * math.sqrt(0.5), math.sqrt(0.5)
        imaginary[degree - m, degree + m], imaginary[degree - m, degree - m] = -sign * math.sqrt(0.5), math.sqrt(0.5)
    return torch.complex(real, imaginary)
