"""Embedding of atom types."""

from __future__ import annotations

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
    """

    def __init__(self, num_types: int, num_features: int, *, dtype: torch.dtype, generator: torch.Generator) -> None:
        super().__init__()
        self.weight = normal_parameter((num_types, num_features), dtype, generator)

    def forward(self, atom_types: torch.Tensor) -> torch.Tensor:
        """Look up the features of each atom.

        Args:
            atom_types: Types, int64, shape [n_atoms].

        Returns:
            Shape [n_atoms, num_features].
        """
        return self.weight.index_select(0, atom_types)
