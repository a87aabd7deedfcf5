"""Edges in both directions between two atoms have the same length, so radial networks need only one row for both.

The rows are computed for the *pairs* of such edges and then copied to the edges, which halves the matrix products of a
network. Gradients go to one edge of each pair; forces, virial and all gradients of weights are the same.
"""

from __future__ import annotations

import contextlib
import contextvars
import functools
from collections.abc import Iterable, Iterator
from typing import Any

import torch

from equipot.errors import problem
from equipot.nn.edges import Edges
from equipot.nn.radial_function import RadialFunction, RadialNetwork
from equipot_kernels._build import registry
from equipot_kernels._build.errors import KernelError
from equipot_kernels._build.registry import INTEGER, POINTER
from equipot_kernels._build.single import single

OPS = "equipot_kernels._edge_pairs"

UNITS: dict[str, list[Any]] = {"edge_pairs": [INTEGER, *[POINTER] * 5]}

FORCES = ()

SPEC = {"family": "edge_pairs"}

_SOURCE = """
typedef __INT64_TYPE__ I;
extern "C" void edge_pairs(I n_edges, const I* index, const double* shift, I* begin, I* first, I* pair) {
  const I *centre = index, *neighbour = index + n_edges;
  for (I e = 0; e < n_edges; e++) {
    pair[e] = -1;
    if (!e || centre[e] != centre[e - 1]) begin[centre[e]] = e;
  }
  I n_pairs = 0;
  for (I e = 0; e < n_edges; e++) {
    if (pair[e] >= 0) continue;
    const I i = centre[e], j = neighbour[e];
    const double *s = shift + 3 * e;
    first[n_pairs] = e;
    pair[e] = n_pairs;
    for (I f = begin[j]; f >= 0 && f < n_edges && centre[f] == j; f++) {
      const double *t = shift + 3 * f;
      if (neighbour[f] == i && pair[f] < 0 && s[0] == -t[0] && s[1] == -t[1] && s[2] == -t[2]) {
        pair[f] = n_pairs;
        break;
      }
    }
    n_pairs++;
  }
  begin[0] = n_pairs;
}
"""

check, sizes, source = single(SPEC, _SOURCE)

_given: contextvars.ContextVar[tuple[torch.Tensor, torch.Tensor] | None] = contextvars.ContextVar("pairs", default=None)


@functools.lru_cache(maxsize=1)
def _handle() -> int:
    return registry.handle_of(SPEC)


def edge_pairs(index: torch.Tensor, shift: torch.Tensor, n_atoms: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Find the edges that connect the same two atoms, or images of them, in both directions.

    Args:
        index: Centre and neighbour of each edge, sorted by centre, shape [2, n_edges].
        shift: Cell shifts of the edges, shape [n_edges, 3].
        n_atoms: Number of atoms.

    Returns:
        An edge of each pair, ascending, shape [n_pairs], and the pair of each edge, shape [n_edges]. An edge without a
        reverse one is a pair of its own.

    Raises:
        KernelError: If the index refers to atoms that do not exist.
    """
    index, shift = index.contiguous(), shift.to(torch.float64).contiguous()
    n_edges = index.shape[1]
    low, high = (int(end) for end in index.aminmax()) if n_edges else (0, -1)
    if low < 0 or high >= n_atoms:
        raise KernelError(problem("edge_index", f"must hold atoms from 0 to {n_atoms - 1}", got=(low, high)))
    begin, first, pair = index.new_full((n_atoms + 1,), -1), index.new_empty(n_edges), index.new_empty(n_edges)
    unit = registry.function(_handle(), "edge_pairs")
    unit(n_edges, *(tensor.data_ptr() for tensor in (index, shift, begin, first, pair)))
    return first[: int(begin[0]) if n_edges else 0], pair


@contextlib.contextmanager
def given(first: torch.Tensor, pair: torch.Tensor) -> Iterator[None]:
    """Let radial networks compute one row for each pair while the block runs.

    Args:
        first: An edge of each pair.
        pair: The pair of each edge.
    """
    token = _given.set((first, pair))
    try:
        yield
    finally:
        _given.reset(token)


class PairedRadial(RadialFunction):
    """A radial network that computes one row for both directions of an edge, where pairs are ``given``.

    Args:
        reference: The network, whose weights it shares.
    """

    kernel_modifier = "enable_FusedKernels"

    def __init__(self, reference: RadialNetwork) -> None:
        super().__init__()
        self.adopt(reference)
        self.training = reference.training
        self._reference = (reference,)  # in a tuple, so that its submodules are not registered twice
        self.dim = reference.dim

    @property
    def reference(self) -> RadialNetwork:
        """The network."""
        return self._reference[0]

    def forward(self, edges: Edges) -> torch.Tensor:
        """Values of all edges, shape [n_edges, dim]."""
        pairs = _given.get()
        if pairs is None:
            return self.reference(edges)
        first, pair = pairs
        once = edges.once("equipot_kernels.edge_pairs", lambda: _chosen(edges, first))
        return self.reference(once).index_select(0, pair)

    def evaluate(self, x: torch.Tensor, pair_type: int = 0) -> torch.Tensor:
        """Values at any relative lengths x [n], float64, shape [n, dim]."""
        return self.reference.evaluate(x, pair_type)

    def sources(self) -> Iterable[torch.Tensor]:
        """All tensors that the values depend on."""
        return self.reference.sources()


def _chosen(edges: Edges, rows: torch.Tensor) -> Edges:
    """Some of the edges, with their lengths alone: radial networks look at nothing else."""
    return Edges(edges.index, edges.x.index_select(0, rows), edges.attributes)
