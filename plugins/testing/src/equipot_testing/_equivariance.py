"""Rotations, reflections and the inversion that E(3) equivariance is tested with."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import torch

from equipot.nn.spherical import SphericalHarmonics

if TYPE_CHECKING:
    from equipot.declarations import FieldEntry
    from equipot.nn.irreps import Irrep


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


def turned_field(field: FieldEntry, values: torch.Tensor, matrix: torch.Tensor) -> torch.Tensor:
    """Values of a field after the map, as its irreps say.

    Args:
        field: Its declaration, with irreps.
        values: Shape of the field.
        matrix: Orthogonal, shape [3, 3].
    """
    shape = tuple(field.shape[1:])
    handedness = float(torch.linalg.det(matrix).sign())
    terms = [(int(mul or 1), int(l), p) for mul, l, p in re.findall(r"(?:(\d+)x)?(\d+)([eo])", field.irreps or "")]
    if shape == (3,) and [(mul, l) for mul, l, _ in terms] == [(1, 1)]:
        natural = terms[0][2] == "o"
        return turned_vectors(values, matrix) * (1.0 if natural else handedness)
    if shape == (3, 3):
        return turned_tensors(values, matrix)
    flat = values.reshape(values.shape[0], -1)
    return (flat @ _representation(terms, matrix * handedness, handedness).T).reshape(values.shape)


def turned_block(values: torch.Tensor, irrep: Irrep, matrix: torch.Tensor) -> torch.Tensor:
    """Features of one irrep after the map.

    Args:
        values: Shape [n, 2l+1, mul].
        irrep: Its l and parity.
        matrix: Orthogonal, shape [3, 3].
    """
    handedness = float(torch.linalg.det(matrix).sign())
    turned = _rotated(irrep.l, matrix * handedness) * (handedness if irrep.p < 0 else 1.0)
    return turned.to(values.dtype) @ values


def _representation(terms: list[tuple[int, int, str]], rotation: torch.Tensor, handedness: float) -> torch.Tensor:
    """Matrix of a rotation, followed by the inversion if the handedness is -1, in e3nn's order of components."""
    blocks = []
    for mul, l, parity in terms:
        sign = handedness if parity == "o" else 1.0
        blocks += [sign * _rotated(l, rotation)] * mul
    return torch.block_diag(*blocks)


def _rotated(l: int, rotation: torch.Tensor) -> torch.Tensor:
    """How the spherical harmonics of one l turn, from their values at some directions, shape [2l+1, 2l+1]."""
    generator = torch.Generator().manual_seed(1)
    directions = torch.randn(8 * l + 8, 3, generator=generator, dtype=torch.float64)
    directions = directions / directions.norm(dim=1, keepdim=True)
    here, there = (SphericalHarmonics(l)(one)[:, l * l :] for one in (directions, directions @ rotation.T))
    return torch.linalg.lstsq(here, there).solution.T
