"""Equivariant linear maps: they mix the channels of each irrep and treat all its components alike."""

from __future__ import annotations

import math

import torch

from equipot.nn.init import normal_parameter
from equipot.nn.irreps import Block, FeatureLayout


class IrrepsLinear(torch.nn.Module):
    """Linear map between features; output irreps that the input lacks are zero.

    ``weights[irrep]`` has shape [mul_in, mul_out], starts as N(0, 1) and is used times 1/√mul_in.

    Args:
        layout_in: Irreps of the input.
        layout_out: Irreps of the output.
        dtype: Data type of the weights.
        generator: Source of the initial weights.
    """

    def __init__(
        self, layout_in: FeatureLayout, layout_out: FeatureLayout, *, dtype: torch.dtype, generator: torch.Generator
    ) -> None:
        super().__init__()
        self.layout_in, self.layout_out = layout_in, layout_out
        self.weights = torch.nn.ParameterDict()
        for block in layout_in.blocks:
            if block.irrep in layout_out:
                shape = (block.mul, layout_out.mul(block.irrep))
                self.weights[str(block.irrep)] = normal_parameter(shape, dtype, generator)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Mix the channels.

        Args:
            features: Shape [n, layout_in.dim].

        Returns:
            Shape [n, layout_out.dim].
        """
        parts = []
        for block in self.layout_out.blocks:
            if block.irrep in self.layout_in:
                source = self.layout_in.block(block.irrep)
                weight = self.weights[str(block.irrep)] * (1.0 / math.sqrt(source.mul))
                parts.append(channel_product(self.layout_in.view(features, source), weight))
            else:
                parts.append(zero_block(features, block))
        return self.layout_out.join(parts)


class PerTypeLinear(torch.nn.Module):
    r"""Linear map whose matrix depends on the atom's type through an embedding of types.

    For an atom of type t and each irrep: :math:`y_w = \sum_{uv} x_u\, a_{tv} W_{uvw} / \sqrt{UV}`,
    with the embedding :math:`a`. The sum over v is computed once per type, not once per atom.
    ``weights[irrep]`` has shape [mul_in, embedding width, mul_out] and starts as N(0, 1).

    Args:
        layout_in: Irreps of the input.
        layout_out: Irreps of the output; those that the input lacks are zero.
        embedding_dim: Width of the embedding.
        dtype: Data type of the weights.
        generator: Source of the initial weights.
    """

    def __init__(
        self,
        layout_in: FeatureLayout,
        layout_out: FeatureLayout,
        *,
        embedding_dim: int,
        dtype: torch.dtype,
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        self.layout_in, self.layout_out, self.embedding_dim = layout_in, layout_out, embedding_dim
        self.weights = torch.nn.ParameterDict()
        for block in layout_in.blocks:
            if block.irrep in layout_out:
                shape = (block.mul, embedding_dim, layout_out.mul(block.irrep))
                self.weights[str(block.irrep)] = normal_parameter(shape, dtype, generator)

    def forward(self, features: torch.Tensor, one_hot_types: torch.Tensor, embedding: torch.Tensor) -> torch.Tensor:
        """Mix the channels.

        Args:
            features: Shape [n_atoms, layout_in.dim].
            one_hot_types: 1 at each atom's type, else 0, shape [n_atoms, n_types].
            embedding: The table of the type embedding, shape [n_types, embedding_dim].

        Returns:
            Shape [n_atoms, layout_out.dim].
        """
        parts = []
        for block in self.layout_out.blocks:
            if block.irrep in self.layout_in:
                source = self.layout_in.block(block.irrep)
                x = self.layout_in.view(features, source)
                if embedding.shape[0] > 1:
                    # The channels of each atom move to the slot of its type, so that one product serves all types.
                    x = (x.unsqueeze(2) * one_hot_types[:, None, :, None]).flatten(2)
                parts.append(channel_product(x, self._matrices(block, source, embedding)))
            else:
                parts.append(zero_block(features, block))
        return self.layout_out.join(parts)

    def _matrices(self, block: Block, source: Block, embedding: torch.Tensor) -> torch.Tensor:
        """The stacked matrices of all types, shape [n_types · mul_in, mul_out]."""
        weight = self.weights[str(block.irrep)].transpose(0, 1).flatten(1)
        scale = 1.0 / math.sqrt(source.mul * self.embedding_dim)
        return (embedding @ (weight * scale)).view(-1, block.mul)


def channel_product(x: torch.Tensor, matrix: torch.Tensor) -> torch.Tensor:
    """Multiply x [n, 2l+1, mul_in] by a matrix [mul_in, mul_out], in one product for all atoms and components.

    In this form, no torch version or exporter turns it into small matrix products for each atom.
    """
    return (x.reshape(-1, matrix.shape[0]) @ matrix).view(x.shape[0], x.shape[1], matrix.shape[1])


def zero_block(features: torch.Tensor, block: Block) -> torch.Tensor:
    """Zeros of shape [n, 2l+1, mul] for ``features`` of shape [n, ...]."""
    return torch.zeros(features.shape[0], block.irrep.dim, block.mul, dtype=features.dtype, device=features.device)
