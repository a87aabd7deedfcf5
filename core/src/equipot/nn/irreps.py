"""The layout of equivariant features: a flat tensor with one block per irrep, channels last.

A block of multiplicity ``mul``, angular momentum ``l`` and parity ``p`` holds ``[2l+1, mul]``
numbers; blocks come in the order 0e, 0o, 1e, 1o, 2e, ... and multiplicities may differ.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch

_PARITIES = {1: "e", -1: "o"}
_TERM = re.compile(r"(?:(\d+)x)?(\d+)([eo])")


@dataclass(frozen=True, order=True)
class Irrep:
    """An irreducible representation of O(3)."""

    l: int
    """Angular momentum."""
    p: int
    """Parity under inversion, 1 or -1."""

    @property
    def dim(self) -> int:
        """Number of components, 2l+1."""
        return 2 * self.l + 1

    def __str__(self) -> str:
        return f"{self.l}{_PARITIES[self.p]}"


@dataclass(frozen=True)
class Block:
    """The position of the features of one irrep within the flat features."""

    mul: int
    irrep: Irrep
    start: int
    """First index within the flat features."""

    @property
    def size(self) -> int:
        """Number of values, mul·(2l+1)."""
        return self.mul * self.irrep.dim


class FeatureLayout:
    """The irreps of a flat feature tensor, and their positions in it.

    Args:
        terms: Multiplicity and irrep of each block, in any order; equal irreps are merged, empty
            ones dropped.

    Example:
        >>> layout = FeatureLayout.parse("2x1o + 4x0e")
        >>> str(layout), layout.dim
        ('4x0e+2x1o', 10)
    """

    def __init__(self, terms: Iterable[tuple[int, Irrep]]) -> None:
        merged: dict[Irrep, int] = {}
        for mul, irrep in terms:
            merged[irrep] = merged.get(irrep, 0) + mul
        self.dim = 0
        self._by_irrep: dict[Irrep, Block] = {}
        for irrep in sorted(merged, key=lambda item: (item.l, -item.p)):
            if merged[irrep] > 0:
                self._by_irrep[irrep] = Block(merged[irrep], irrep, self.dim)
                self.dim += self._by_irrep[irrep].size
        self.blocks = tuple(self._by_irrep.values())

    @classmethod
    def parse(cls, text: str) -> FeatureLayout:
        """Make a layout from the usual notation.

        Args:
            text: For example ``"16x0e + 8x1o"``; a missing multiplicity is 1.

        Raises:
            ValueError: If a term cannot be read.
        """
        terms = []
        for term in text.split("+"):
            match = _TERM.fullmatch(term.strip())
            if match is None:
                raise ValueError(
                    f"FeatureLayout.parse: cannot be read, got {term.strip()!r}; write for example '16x0e + 8x1o'"
                )
            terms.append((int(match[1] or 1), Irrep(int(match[2]), 1 if match[3] == "e" else -1)))
        return cls(terms)

    @classmethod
    def spherical_harmonics(cls, l_max: int) -> FeatureLayout:
        """One block of multiplicity 1 for each l up to ``l_max``, with natural parity (-1)^l."""
        return cls((1, Irrep(l, (-1) ** l)) for l in range(l_max + 1))

    def __str__(self) -> str:
        return "+".join(f"{block.mul}x{block.irrep}" for block in self.blocks)

    def __repr__(self) -> str:
        return f"FeatureLayout({str(self)!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, FeatureLayout) and self.blocks == other.blocks

    def __hash__(self) -> int:
        return hash(self.blocks)

    def __contains__(self, irrep: object) -> bool:
        return irrep in self._by_irrep

    def mul(self, irrep: Irrep) -> int:
        """Multiplicity of an irrep, 0 if the layout does not have it."""
        return self._by_irrep[irrep].mul if irrep in self._by_irrep else 0

    def block(self, irrep: Irrep) -> Block:
        """The block of an irrep.

        Raises:
            KeyError: If the layout does not have it.
        """
        if irrep not in self:
            raise KeyError(f"{irrep} is not in {self}")
        return self._by_irrep[irrep]

    def view(self, features: torch.Tensor, block: Block) -> torch.Tensor:
        """A view of one block of flat features.

        Args:
            features: Shape [n, dim].
            block: One of ``blocks``.

        Returns:
            Shape [n, 2l+1, mul].
        """
        flat = features[:, block.start : block.start + block.size]
        return flat.view(features.shape[0], block.irrep.dim, block.mul)

    def join(self, parts: Sequence[torch.Tensor]) -> torch.Tensor:
        """Join one tensor per block into flat features.

        Args:
            parts: Shapes [n, 2l+1, mul], in the order of ``blocks``.

        Returns:
            Shape [n, dim].
        """
        flat = [part.reshape(part.shape[0], block.size) for part, block in zip(parts, self.blocks, strict=True)]
        return flat[0] if len(flat) == 1 else torch.cat(flat, dim=1)

    def to_e3nn(self, features: torch.Tensor) -> torch.Tensor:
        """Reorder flat features as e3nn does: the same irreps, with channels before components.

        Args:
            features: Shape [n, dim].

        Returns:
            Shape [n, dim], for ``e3nn.o3.Irreps(str(layout))``.
        """
        return self.join([self.view(features, block).transpose(1, 2) for block in self.blocks])

    def from_e3nn(self, features: torch.Tensor) -> torch.Tensor:
        """Inverse of ``to_e3nn``."""
        parts = []
        for block in self.blocks:
            flat = features[:, block.start : block.start + block.size]
            parts.append(flat.reshape(features.shape[0], block.mul, block.irrep.dim).transpose(1, 2))
        return self.join(parts)


def product_irreps(first: Irrep, second: Irrep) -> list[Irrep]:
    """Irreps in the tensor product of two irreps, l ascending.

    Example:
        >>> [str(irrep) for irrep in product_irreps(Irrep(1, -1), Irrep(1, -1))]
        ['0e', '1e', '2e']
    """
    return [Irrep(l, first.p * second.p) for l in range(abs(first.l - second.l), first.l + second.l + 1)]
