r"""Potentials of smeared charges: an Ewald sum for periodic frames, all pairs for molecules.

Charges at a distance r interact as :math:`q_i q_j\,\mathrm{erf}(r/\sqrt{2}\sigma)/r`: those of Gaussians of width
:math:`\sigma/\sqrt{2}`, and those of points where r is well above σ.
"""

from __future__ import annotations

import math

import torch

from equipot_electrostatics._frames import FrameRows, largest

_TAPER = 1.1
"""The sum over k ends at so many times the k at which its terms have become small, over a smooth step."""


def smeared_potentials(
    charges: torch.Tensor,
    positions: torch.Tensor,
    cell: torch.Tensor,
    pbc: torch.Tensor,
    batch: torch.Tensor,
    num_atoms: torch.Tensor,
    *,
    sigma: float,
    accuracy: float,
) -> torch.Tensor:
    r"""Electrostatic potentials at the atoms due to all other charges of their frame, without the constant k.

    Molecules, periodic in no direction: :math:`\phi_i = \sum_{j \ne i} q_j\,\mathrm{erf}(r_{ij}/\sqrt2\sigma)/r_{ij}`.
    Other frames are taken as periodic in all directions; with S(k) the structure factor,

    .. math:: \phi_i = \frac{4\pi}{V} \sum_{0 < |k| < k_{max}} \frac{e^{-\sigma^2 k^2/2}}{k^2}\,
        \mathrm{Re}[S(k)^* e^{i k \cdot r_i}] - \sqrt{\frac{2}{\pi}}\,\frac{q_i}{\sigma}.

    Without the term k = 0, a frame with a net charge has a uniform background of the opposite charge, and the mean of
    the potential over the cell is 0. The last term takes away what a charge does to itself.

    Args:
        charges: e, float64, one or more channels that do not see each other, shape [n_atoms, n_channels].
        positions: Å, float64, shape [n_atoms, 3].
        cell: Cell vectors as rows, Å, float64, shape [n_frames, 3, 3].
        pbc: Periodic directions, shape [n_frames, 3].
        batch: Frame of each atom, shape [n_atoms].
        num_atoms: Number of atoms of each frame, shape [n_frames].
        sigma: σ in Å.
        accuracy: Size of the factor :math:`e^{-\sigma^2 k^2/2}` from which on terms are left out.

    Returns:
        Potentials in e/Å, shape [n_atoms, n_channels]. The energy is half the sum of k · charge · potential.

    Source: Cheng, npj Comput. Mater. 11, 80 (2025), arXiv:2408.15165.
    """
    periodic = pbc.any(1)
    molecules = FrameRows(batch, num_atoms, ~periodic)
    crystals = FrameRows(batch, num_atoms, periodic)
    potentials = torch.zeros_like(charges)
    if not molecules.empty:
        potentials = potentials + _of_pairs(charges, positions, molecules, sigma)
    if not crystals.empty:
        geometry = (positions, cell, periodic, batch)
        potentials = potentials + _of_waves(charges, *geometry, crystals, sigma=sigma, accuracy=accuracy)
    return potentials


def _of_pairs(charges: torch.Tensor, positions: torch.Tensor, rows: FrameRows, sigma: float) -> torch.Tensor:
    """Potentials in molecules, [n_atoms, n_channels]; 0 elsewhere."""
    atoms = rows.gather(torch.cat([positions, torch.ones_like(positions[:, :1])], dim=1))
    places, real = atoms[:, :, :3], atoms[:, :, 3] > 0.5
    numbers = torch.arange(rows.width, device=charges.device)
    pairs = real.unsqueeze(1) & real.unsqueeze(2) & (numbers.unsqueeze(0) != numbers.unsqueeze(1))
    squares = (places.unsqueeze(1) - places.unsqueeze(2)).square().sum(3)
    r = torch.where(pairs, squares, torch.ones_like(squares)).sqrt()
    kernel = torch.erf(r / (math.sqrt(2.0) * sigma)) / r
    return rows.scatter(torch.bmm(torch.where(pairs, kernel, torch.zeros_like(kernel)), rows.gather(charges)))


def _of_waves(
    charges: torch.Tensor,
    positions: torch.Tensor,
    cell: torch.Tensor,
    periodic: torch.Tensor,
    batch: torch.Tensor,
    rows: FrameRows,
    *,
    sigma: float,
    accuracy: float,
) -> torch.Tensor:
    """Potentials in crystals, [n_atoms, n_channels]; 0 elsewhere.

    The waves are products of waves along the three reciprocal vectors, so that all sums over atoms and over k are
    matrix products, and no array has a number for each atom and each k.
    """
    k_small = math.sqrt(-2.0 * math.log(accuracy)) / sigma
    identity = torch.eye(3, dtype=cell.dtype, device=cell.device).expand_as(cell)
    cell = torch.where(periodic[:, None, None], cell, identity)
    reciprocal, volume = _reciprocal(cell)
    # |n_i| = |k · a_i| / 2π is at most |k| |a_i| / 2π.
    bounds = (cell.detach().square().sum(2).sqrt() * (_TAPER * k_small / (2.0 * math.pi))).floor().to(torch.int64)
    bounds = torch.where(periodic.unsqueeze(1), bounds, torch.zeros_like(bounds))
    n = [_numbers(largest(bounds[:, axis], 1), cell, half=axis == 2) for axis in range(3)]
    weights = _weights(n, reciprocal, sigma, k_small) * (4.0 * math.pi / volume)[:, None, None]

    fractional = (reciprocal.index_select(0, batch) * positions.unsqueeze(1)).sum(2)
    placed, q = rows.gather(fractional), rows.gather(charges)
    angles = [2.0 * math.pi * placed[:, :, axis].unsqueeze(2) * n[axis] for axis in range(3)]
    in_plane = _waves_of_planes(angles[0], angles[1])
    along = torch.cat([angles[2].cos(), angles[2].sin()], dim=2).unsqueeze(2)

    factors = torch.bmm(in_plane.transpose(1, 2), (q.unsqueeze(3) * along).flatten(2))
    factors = factors.view(cell.shape[0], 2, weights.shape[1], q.shape[2], 2, weights.shape[2])
    real = (factors[:, 0, :, :, 0] - factors[:, 1, :, :, 1]) * weights.unsqueeze(2)
    imaginary = (factors[:, 1, :, :, 0] + factors[:, 0, :, :, 1]) * weights.unsqueeze(2)
    conjugate = torch.cat([torch.cat([real, imaginary], dim=3), torch.cat([imaginary, -real], dim=3)], dim=1)
    potentials = (torch.bmm(in_plane, conjugate.flatten(2)).view(*q.shape, along.shape[3]) * along).sum(3)
    return rows.scatter(potentials - math.sqrt(2.0 / math.pi) / sigma * q)


def _waves_of_planes(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    """Cosines, then sines, of all sums of an angle of each list: [n_frames, width, n_1], n_2, to 2 n_1 n_2 in a row."""
    c, s = first.cos(), first.sin()
    turns = torch.stack([torch.cat([c, s], dim=2), torch.cat([-s, c], dim=2)], dim=3)
    return torch.matmul(turns, torch.stack([second.cos(), second.sin()], dim=2)).flatten(2)


def _reciprocal(cell: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Vectors b_i with a_i · b_j = δ_ij as rows, 1/Å, [n_frames, 3, 3], and volumes, Å³, [n_frames]."""
    a, b, c = cell.unbind(1)
    normals = torch.stack([torch.cross(b, c, dim=1), torch.cross(c, a, dim=1), torch.cross(a, b, dim=1)], dim=1)
    signed = (a * normals[:, 0]).sum(1)
    return normals / signed[:, None, None], signed.abs()


def _numbers(bound: int, like: torch.Tensor, *, half: bool) -> torch.Tensor:
    """The integers from -bound, or from 0, to bound, as floating point numbers."""
    numbers = torch.arange(bound + 1 if half else 2 * bound + 1, device=like.device).to(like.dtype)
    return numbers if half else numbers - bound


def _weights(n: list[torch.Tensor], reciprocal: torch.Tensor, sigma: float, k_small: float) -> torch.Tensor:
    """Factors exp(-σ²k²/2)/k² of the waves, tapered, [n_frames, n_1 n_2, n_3]; the half with n_3 > 0 counts twice."""
    metric = (2.0 * math.pi) ** 2 * torch.bmm(reciprocal, reciprocal.transpose(1, 2))

    def g(i: int, j: int) -> torch.Tensor:
        return metric[:, i, j][:, None, None]

    n_1, n_2, n_3 = n[0].unsqueeze(1), n[1].unsqueeze(0), n[2]
    plane = (g(0, 0) * n_1.square() + g(1, 1) * n_2.square() + 2.0 * g(0, 1) * n_1 * n_2).flatten(1).unsqueeze(2)
    slope = (2.0 * g(0, 2) * n_1 + 2.0 * g(1, 2) * n_2).flatten(1).unsqueeze(2)
    squares = plane + slope * n_3 + g(2, 2) * n_3.square()
    in_plane = (n_1.abs() + n_2.abs()).flatten().unsqueeze(1)
    zero = (in_plane + n_3) < 0.5
    squares = torch.where(zero, torch.ones_like(squares), squares)
    t = ((squares.sqrt() / k_small - 1.0) / (_TAPER - 1.0)).clamp(0.0, 1.0)
    taper = 1.0 - t**3 * (10.0 - 15.0 * t + 6.0 * t.square())
    twice = 2.0 - (n_3 < 0.5).to(squares.dtype)
    weights = torch.exp(-0.5 * sigma**2 * squares) / squares * taper * twice
    return torch.where(zero, torch.zeros_like(weights), weights)
