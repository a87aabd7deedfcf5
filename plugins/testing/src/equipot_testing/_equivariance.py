"""Rotations, reflections and the inversion that E(3) equivariance is tested with."""

from __future__ import annotations

import torch


def orthogonal_matrices(seed: int = 3) -> dict[str, torch.Tensor]:
    """One matrix of each sort.

    Args:
        seed: Seed of the random rotation.

    Returns:
        Name to orthogonal matrix [3, 3], float64: a random rotation, the inversion, a reflection
        and the rotation followed by the inversion.
    """
    generator = torch.Generator().manual_seed(seed)
    q, r = torch.linalg.qr(torch.randn(3, 3, generator=generator, dtype=torch.float64))
    q = q * r.diagonal().sign()
    rotation = q * torch.linalg.det(q).sign()
    one = torch.eye(3, dtype=torch.float64)
    return {
        "rotation": rotation,
        "inversion": -one,
        "reflection": torch.diag(torch.tensor([1.0, -1.0, 1.0], dtype=torch.float64)),
        "rotation and inversion": -rotation,
    }


def turned_vectors(vectors: torch.Tensor, matrix: torch.Tensor) -> torch.Tensor:
    """Vectors [n, 3] after the map."""
    return vectors @ matrix.T


def turned_tensors(tensors: torch.Tensor, matrix: torch.Tensor) -> torch.Tensor:
    """Second-rank tensors [n, 3, 3] after the map."""
    return matrix @ tensors @ matrix.T
