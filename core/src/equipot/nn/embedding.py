"""Embedding of atom types."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from equipot.nn.init import normal_parameter


class TypeEmbedding(torch.nn.Module):
    """A vector of features for each atom type, initially N(0, 1).

    ``weight`` has shape [num_types, num_features].

    Args:
        num_types: Number of types.
        num_features: Length of the vectors.
        dtype: Data type of the weights.
        generator: Source of the initial weights.
        atomic_numbers: Of the types; if given, the vectors of elements are initially correlated as
            ``element_similarity`` says, instead of independent of each other.
    """

    def __init__(
        self,
        num_types: int,
        num_features: int,
        *,
        dtype: torch.dtype,
        generator: torch.Generator,
        atomic_numbers: Sequence[int] | None = None,
    ) -> None:
        super().__init__()
        shape = (num_types, num_features)
        if atomic_numbers is None:
            self.weight = normal_parameter(shape, dtype, generator)
        else:
            independent = normal_parameter(shape, torch.float64, generator).detach()
            root = torch.linalg.cholesky(element_similarity(atomic_numbers))
            self.weight = torch.nn.Parameter((root @ independent).to(dtype))

    def forward(self, atom_types: torch.Tensor) -> torch.Tensor:
        """Look up the features of each atom.

        Args:
            atom_types: Types, int64, shape [n_atoms].

        Returns:
            Shape [n_atoms, num_features].
        """
        return self.weight.index_select(0, atom_types)


_GROUP, _PERIOD = (0.65, 1.5), (0.30, 1.0)
"""Part of the correlation that is due to groups and to periods of the periodic table, and the number of groups and of
periods over which it decays. The rest is each type's own, so that types of the same element differ, too."""

_IN_F_BLOCK = 5.0
"""Elements of the f-block that lie as far apart as two groups do."""

_NOBLE = (0, 2, 10, 18, 36, 54, 86, 118)


def element_similarity(atomic_numbers: Sequence[int]) -> torch.Tensor:
    """How similar elements are by their places in the periodic table, as a positive definite matrix.

    It is 1 on the diagonal, and decays as a Gaussian of the distance between groups and as another one of that between
    periods.

    Args:
        atomic_numbers: From 1 to 118, n of them.

    Returns:
        float64, shape [n, n].

    Example:
        >>> sodium, potassium, chlorine = element_similarity([11, 19, 17]).tolist()
        >>> [round(value, 2) for value in sodium]
        [1.0, 0.83, 0.3]
    """
    places = torch.tensor([_place(number) for number in atomic_numbers], dtype=torch.float64).reshape(-1, 3)
    (part, length), (other_part, other_length) = _GROUP, _PERIOD
    squared = (places[:, None] - places).square()
    groups, periods = squared[..., :2].sum(2) / (2.0 * length**2), squared[..., 2] / (2.0 * other_length**2)
    own = torch.eye(len(places), dtype=torch.float64)
    return part * (-groups).exp() + other_part * (-periods).exp() + (1.0 - part - other_part) * own


def _place(number: int) -> tuple[float, float, float]:
    """Group, place in the f-block (0 outside it) in units of groups, and period."""
    period = next(period for period, last in enumerate(_NOBLE) if number <= last)
    place, length = number - _NOBLE[period - 1], _NOBLE[period] - _NOBLE[period - 1]
    in_f_block = length == 32 and 3 <= place <= 16
    if in_f_block:
        return 3.0, (place - 2) / _IN_F_BLOCK, float(period)
    group = place if number == 1 or (length > 2 and place <= 2) else place + 18 - length
    return float(group), 0.0, float(period)
