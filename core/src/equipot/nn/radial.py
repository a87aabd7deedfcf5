"""Radial functions of edges: Bessel functions times a polynomial cutoff."""

from __future__ import annotations

import torch

from equipot.nn.cutoff import polynomial_cutoff


class BesselBasis(torch.nn.Module):
    r"""Bessel functions of the relative distance, :math:`B_n(x) = \sin(\pi w_n x) / (\pi x)`.

    Args:
        num_bessels: Number of functions; :math:`w_n` starts as 1, 2, ..., ``num_bessels``.
        trainable: Train the roots :math:`w_n` (in float64).

    Source: Gasteiger, Groß, Günnemann (2020), arXiv:2003.03123, eq. 7.
    """

    def __init__(self, num_bessels: int, *, trainable: bool = False) -> None:
        super().__init__()
        roots = torch.arange(1, num_bessels + 1, dtype=torch.float64)
        self.roots: torch.Tensor
        if trainable:
            self.roots = torch.nn.Parameter(roots)
        else:
            self.register_buffer("roots", roots, persistent=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Evaluate; finite at x = 0.

        Args:
            x: Distances divided by their cutoff radius, float64, shape [n_edges].

        Returns:
            Float64, shape [n_edges, num_bessels].
        """
        return self.roots * torch.sinc(x.unsqueeze(1) * self.roots)


class RadialEmbedding(torch.nn.Module):
    """Bessel functions times cutoff, ``scale · B_n(x) · u_p(x)``: smooth, and zero from x = 1 on.

    Args:
        num_bessels: Number of Bessel functions.
        trainable: Train their roots.
        polynomial_cutoff_p: Exponent p of the cutoff function u_p.
        dtype: Data type of the result; both factors are computed in float64 and cast once.
        scale: Constant factor.
    """

    def __init__(
        self,
        num_bessels: int,
        *,
        trainable: bool,
        polynomial_cutoff_p: float,
        dtype: torch.dtype,
        scale: float = 1.0,
    ) -> None:
        super().__init__()
        self.bessel = BesselBasis(num_bessels, trainable=trainable)
        self.polynomial_cutoff_p = polynomial_cutoff_p
        self.dtype = dtype
        self.scale = scale

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Evaluate.

        Args:
            x: Distances divided by their cutoff radius, float64, shape [n_edges].

        Returns:
            Shape [n_edges, num_bessels].
        """
        envelope = polynomial_cutoff(x, self.polynomial_cutoff_p).to(self.dtype)
        return self.bessel(x).to(self.dtype) * (self.scale * envelope).unsqueeze(1)

    def evaluate(self, x: torch.Tensor) -> torch.Tensor:
        """The same, computed entirely in float64, for tables: x [n], shape [n, num_bessels]."""
        return self.bessel(x) * (self.scale * polynomial_cutoff(x, self.polynomial_cutoff_p)).unsqueeze(1)
