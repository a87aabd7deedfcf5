"""The edges of a batch, as the layers of a model use them."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any, TypeVar

import torch

T = TypeVar("T")


class Edges:
    """The atoms that the edges connect, their lengths and directions.

    Each call of the energy module makes one object. What several layers derive from the edges (the
    radial embedding, index structures of a kernel) is computed once and kept here.

    Args:
        index: Centre and neighbour of each edge, sorted by centre, shape [2, n_edges].
        x: Lengths divided by their cutoff radius, float64, shape [n_edges].
        attributes: Spherical harmonics of the directions, shape [n_edges, (l_max + 1)²].
        pair_types: Index of the ordered pair of types, see ``equipot.model.pair_index``, shape
            [n_edges]; None if no layer needs it.
    """

    def __init__(
        self,
        index: torch.Tensor,
        x: torch.Tensor,
        attributes: torch.Tensor,
        pair_types: torch.Tensor | None = None,
    ) -> None:
        self.index = index
        self.x = x
        self.attributes = attributes
        self.pair_types = pair_types
        self._made: dict[Hashable, Any] = {}

    @property
    def centre(self) -> torch.Tensor:
        """Atoms that receive, ascending, shape [n_edges]."""
        return self.index[0]

    @property
    def neighbour(self) -> torch.Tensor:
        """Atoms that send, shape [n_edges]."""
        return self.index[1]

    def once(self, key: Hashable, make: Callable[[], T]) -> T:
        """The result of ``make()``, which is called once for each key.

        Args:
            key: Identifies the derived quantity; for example, the module that computes it.
            make: Computes the quantity.

        Returns:
            The result of the first call.
        """
        if key not in self._made:
            self._made[key] = make()
        result: T = self._made[key]
        return result
