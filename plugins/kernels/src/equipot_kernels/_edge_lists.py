"""Which edges an atom receives from and sends along: pointers into the list of edges, made once per call."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from equipot.errors import DataError, problem
from equipot_kernels._build import registry
from equipot_kernels._build.registry import INTEGER, POINTER
from equipot_kernels._build.single import single
from equipot_kernels._build.torch_ops import call, define

if TYPE_CHECKING:
    from equipot.nn.edges import Edges

OPS = "equipot_kernels._edge_lists"

UNITS: dict[str, list[Any]] = {"edge_lists": [INTEGER, INTEGER, *[POINTER] * 4]}

FORCES = ("edge_lists",)

SPEC = {"family": "edge_lists"}

_SOURCE = """
typedef __INT64_TYPE__ I;
extern "C" void edge_lists(I n_atoms, I n_edges, const I* index, I* ptr, I* sent_ptr, I* sent) {
  const I *centre = index, *neighbour = index + n_edges;
  ptr[0] = 0;
  for (I e = 0; e < n_edges; e++) {
    const I i = centre[e], j = neighbour[e];
    if (i < 0 || i >= n_atoms || j < 0 || j >= n_atoms) { ptr[0] = -1; return; }
    if (e && centre[e - 1] > i) { ptr[0] = -2; return; }
  }
  for (I i = 0; i <= n_atoms; i++) ptr[i] = sent_ptr[i] = 0;
  for (I e = 0; e < n_edges; e++) { ptr[centre[e] + 1]++; sent_ptr[neighbour[e] + 1]++; }
  for (I i = 0; i < n_atoms; i++) { ptr[i + 1] += ptr[i]; sent_ptr[i + 1] += sent_ptr[i]; }
  for (I e = 0; e < n_edges; e++) sent[sent_ptr[neighbour[e]]++] = e;
  for (I i = n_atoms; i > 0; i--) sent_ptr[i] = sent_ptr[i - 1];
  sent_ptr[0] = 0;
}
"""

check, sizes, source = single(SPEC, _SOURCE)


def _unchecked(index: torch.Tensor, n_atoms: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """The lists; the first element of the first is negative if the edges are wrong."""
    index = index.contiguous()
    lists = _empty(index, n_atoms)
    call(registry.handle_of(SPEC), "edge_lists", n_atoms, index.shape[1], index, *lists, threads=False)
    return lists


def _cpu(index: torch.Tensor, n_atoms: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    lists = _unchecked(index, n_atoms)
    fault = int(lists[0][0])
    if fault == -1:
        raise DataError(problem("edge_index", f"must hold atoms from 0 to {n_atoms - 1}", got=_range(index)))
    if fault:
        raise DataError(problem("edge_index", "must be sorted by centre", hint="sort the edges by edge_index[0]"))
    return lists


def _range(index: torch.Tensor) -> tuple[int, int]:
    return int(index.min()), int(index.max())


def _empty(index: torch.Tensor, n_atoms: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    return index.new_empty(n_atoms + 1), index.new_empty(n_atoms + 1), index.new_empty(index.shape[1])


_op = define("edge_lists(Tensor index, SymInt n_atoms) -> (Tensor, Tensor, Tensor)", _cpu, _empty, _unchecked)


def edge_lists(edges: Edges, n_atoms: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Sort the edges of a call by centre and by neighbour.

    Args:
        edges: Sorted by centre.
        n_atoms: Number of atoms.

    Returns:
        First edge of each centre [n_atoms + 1]; where the entries of each neighbour begin in the third
        tensor [n_atoms + 1]; edges ordered by neighbour [n_edges].

    Raises:
        DataError: If edges are not sorted by centre, or refer to atoms that do not exist.
    """
    made: tuple[torch.Tensor, torch.Tensor, torch.Tensor] = edges.once(
        "equipot_kernels.edge_lists", lambda: _op(edges.index, n_atoms)
    )
    return made
