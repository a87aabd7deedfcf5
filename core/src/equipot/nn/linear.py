"""Equivariant linear maps: they mix the channels of each irrep and treat all its components alike."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch

from equipot.nn.init import normal_parameter
from equipot.nn.irreps import Block, FeatureLayout
from equipot.nn.slots import KernelSlot

_ROWS = 8
"""Rows of a product of a table of types, see ``_of_types``."""


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


class PerTypeLinear(KernelSlot):
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
            one_hot_types: Type of each atom, integers of shape [n_atoms]; or 1 at each atom's type, else 0, of the
                features' dtype and shape [n_atoms, n_types].
            embedding: The table of the type embedding, shape [n_types, embedding_dim].

        Returns:
            Shape [n_atoms, layout_out.dim].
        """
        slots, table = self._slots(one_hot_types, embedding)
        # Columns of the embedding are as many with any number of types.
        sizes = [self.embedding_dim] if table is None else _type_groups(table.shape[0])
        if slots is not None and sum(sizes) > slots.shape[1]:
            slots = torch.nn.functional.pad(slots, (0, sum(sizes) - slots.shape[1]))
        parts = []
        for block in self.layout_out.blocks:
            if block.irrep in self.layout_in:
                source = self.layout_in.block(block.irrep)
                x = self.layout_in.view(features, source)
                weight = self._weight(block, source)
                matrix = weight if table is None else _of_types(table, weight, sum(sizes))
                parts.append(slot_product(x, slots, matrix.view(-1, source.mul, block.mul), sizes))
            else:
                parts.append(zero_block(features, block))
        return self.layout_out.join(parts)

    def matrices(self, embedding: torch.Tensor) -> torch.Tensor:
        """The matrices of each type, one after the other in the order of the irreps of the output.

        Args:
            embedding: The table of the type embedding, shape [n_types, embedding_dim].

        Returns:
            Shape [n_types, sum of mul_in · mul_out over the irreps that input and output share].
        """
        shared = [block for block in self.layout_out.blocks if block.irrep in self.layout_in]
        parts = [_of_types(embedding, self._weight(block, self.layout_in.block(block.irrep))) for block in shared]
        return parts[0] if len(parts) == 1 else torch.cat(parts, dim=1)

    def _slots(self, types: torch.Tensor, embedding: torch.Tensor) -> tuple[torch.Tensor | None, torch.Tensor | None]:
        """What multiplies each atom's channels, and the table that the weights are multiplied by.

        There is one slot for each type, or one for each column of the embedding if these are far fewer: such slots need
        gradients, which cost as much as half of them.
        """
        num_types = embedding.shape[0]
        if num_types == 1:
            return None, embedding
        if num_types > 2 * self.embedding_dim:
            return types @ embedding if types.dim() == 2 else embedding.index_select(0, types), None
        if types.dim() == 1:
            types = torch.nn.functional.one_hot(types, num_types).to(embedding.dtype)
        return types, embedding

    def _weight(self, block: Block, source: Block) -> torch.Tensor:
        """The scaled weights of an irrep, shape [embedding_dim, mul_in · mul_out]."""
        weight = self.weights[str(block.irrep)].transpose(0, 1).flatten(1)
        return weight * (1.0 / math.sqrt(source.mul * self.embedding_dim))


def _type_groups(num_types: int) -> list[int]:
    """Types that share a product: the first ``_ROWS`` have their own, others one for as many, the last filled up."""
    return [1] * min(num_types, _ROWS) + [_ROWS] * -(-max(num_types - _ROWS, 0) // _ROWS)


def _of_types(table: torch.Tensor, weight: torch.Tensor, num_rows: int | None = None) -> torch.Tensor:
    """The product of the table of an embedding with a matrix, in products of equally many rows.

    How a product is rounded depends on its size; in this form the rows of some types do not depend on how many others
    there are, so that a model to which types are added gives the same numbers for the old ones, bit for bit. Rows
    beyond the types, up to the next multiple of ``_ROWS``, are zero.
    """
    rows = torch.nn.functional.pad(table, (0, 0, 0, -table.shape[0] % _ROWS))
    blocks = [block @ weight for block in rows.split(_ROWS)]
    return (blocks[0] if len(blocks) == 1 else torch.cat(blocks))[: table.shape[0] if num_rows is None else num_rows]


def slot_product(
    x: torch.Tensor, slots: torch.Tensor | None, matrices: torch.Tensor, sizes: Sequence[int]
) -> torch.Tensor:
    """Multiply the channels of each row by the matrix of its slot, y_nkw = Σ_s a_ns Σ_u x_nku M_suw.

    How a product is rounded depends on its size. On the CPU, slots that belong together have their own product: the
    rows of some then do not depend on how many others there are, which add exact zeros. Elsewhere, where small products
    cost as much as large ones, one product serves all slots.

    Args:
        x: Shape [n, k, u].
        slots: Factors a, usually 1 in one slot of a row and else 0, shape [n, n_slots]; None with a single slot.
        matrices: Shape [n_slots, u, w].
        sizes: Numbers of slots that belong together; their sum is n_slots.

    Returns:
        Shape [n, k, w].
    """
    if slots is None:
        return channel_product(x, matrices[0])
    if x.device.type != "cpu":
        sizes = [sum(sizes)]
    total: torch.Tensor | None = None
    for some, their in zip(slots.split(list(sizes), dim=1), matrices.split(list(sizes)), strict=True):
        spread = (x.unsqueeze(2) * some[:, None, :, None]).flatten(2)
        part = channel_product(spread, their.reshape(-1, matrices.shape[2]))
        total = part if total is None else total + part
    assert total is not None  # noqa: S101 - for the type checker
    return total


def channel_product(x: torch.Tensor, matrix: torch.Tensor) -> torch.Tensor:
    """Multiply x [n, 2l+1, mul_in] by a matrix [mul_in, mul_out], in one product for all atoms and components.

    In this form, no torch version or exporter turns it into small matrix products for each atom.
    """
    return (x.reshape(-1, matrix.shape[0]) @ matrix).view(x.shape[0], x.shape[1], matrix.shape[1])


def zero_block(features: torch.Tensor, block: Block) -> torch.Tensor:
    """Zeros of shape [n, 2l+1, mul] for ``features`` of shape [n, ...]."""
    return torch.zeros(features.shape[0], block.irrep.dim, block.mul, dtype=features.dtype, device=features.device)
