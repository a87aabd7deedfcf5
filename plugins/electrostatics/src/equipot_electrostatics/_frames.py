"""Arrays with one row for each frame: sums over all pairs of a frame then are products of small matrices."""

from __future__ import annotations

from typing import Any

import torch


def largest(counts: torch.Tensor, least: int) -> int:
    """The largest count as a size of arrays.

    Args:
        counts: int64, shape [n].
        least: Smallest size while a model is exported, so that torch's compilers need not ask whether it is 0 or 1.

    Returns:
        A number; while a model is exported, a symbol that is known to be at least ``least``.
    """
    if counts.is_meta:  # it has no numbers
        return least
    size: Any = counts.max().item()
    if isinstance(size, int):
        return size
    size = counts.clamp(min=least).max().item()
    torch.sym_constrain_range(size, min=least)
    return size


class FrameRows:
    """Moves values of atoms to an array with one row for each frame, and back.

    Atoms of a frame follow each other in a batch. Atoms of frames that take no part are left out; rows that are
    shorter than the longest one end with zeros.

    Args:
        batch: Frame of each atom, shape [n_atoms].
        num_atoms: Number of atoms of each frame, shape [n_frames].
        member: Which frames take part, bool, shape [n_frames].
    """

    def __init__(self, batch: torch.Tensor, num_atoms: torch.Tensor, member: torch.Tensor) -> None:
        self.n_frames, n_atoms = num_atoms.shape[0], batch.shape[0]
        self.width = largest(torch.where(member, num_atoms, torch.zeros_like(num_atoms)), 2)
        first = (num_atoms.cumsum(0) - num_atoms).index_select(0, batch)
        place = torch.arange(n_atoms, device=batch.device) - first
        belongs = member.index_select(0, batch)
        self.index = batch * self.width + torch.where(belongs, place, torch.zeros_like(place))
        self.empty = isinstance(self.width, int) and self.width == 0
        self.weight = belongs.to(torch.float64).unsqueeze(1)

    def gather(self, values: torch.Tensor) -> torch.Tensor:
        """Values of atoms [n_atoms, d] as [n_frames, width, d]."""
        size = (self.n_frames * self.width, values.shape[1])
        zeros = torch.zeros(size, dtype=values.dtype, device=values.device)
        rows = zeros.index_add(0, self.index, values * self.weight)
        return rows.view(self.n_frames, self.width, values.shape[1])

    def scatter(self, rows: torch.Tensor) -> torch.Tensor:
        """Rows [n_frames, width, d] as values of atoms [n_atoms, d], 0 for atoms that take no part."""
        flat = rows.reshape(self.n_frames * self.width, rows.shape[2])
        return flat.index_select(0, self.index) * self.weight
