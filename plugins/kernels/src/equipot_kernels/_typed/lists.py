"""The atoms of each type: they are multiplied by the same matrices, so they are taken together."""

from __future__ import annotations

from typing import Any

import torch

from equipot.errors import DataError, problem
from equipot_kernels._build import registry
from equipot_kernels._build.registry import INTEGER, POINTER
from equipot_kernels._build.single import single
from equipot_kernels._build.torch_ops import call, define

OPS = "equipot_kernels._typed.lists"

UNITS: dict[str, list[Any]] = {"type_lists": [INTEGER, INTEGER, *[POINTER] * 3]}

FORCES = ("type_lists",)

SPEC = {"family": "type_lists"}

_SOURCE = """
typedef __INT64_TYPE__ I;
extern "C" void type_lists(I n_atoms, I n_types, const I* types, I* ptr, I* atoms) {
  for (I t = 0; t <= n_types; t++) ptr[t] = 0;
  for (I i = 0; i < n_atoms; i++) {
    if (types[i] < 0 || types[i] >= n_types) { ptr[0] = -1; return; }
    ptr[types[i] + 1]++;
  }
  for (I t = 0; t < n_types; t++) ptr[t + 1] += ptr[t];
  for (I i = 0; i < n_atoms; i++) atoms[ptr[types[i]]++] = i;
  for (I t = n_types; t > 0; t--) ptr[t] = ptr[t - 1];
  ptr[0] = 0;
}
"""

check, sizes, source = single(SPEC, _SOURCE)


def _unchecked(types: torch.Tensor, n_types: int) -> tuple[torch.Tensor, torch.Tensor]:
    """The lists; the first element of the first is negative if a type does not exist."""
    types = types.contiguous()
    lists = _empty(types, n_types)
    call(registry.handle_of(SPEC), "type_lists", types.shape[0], n_types, types, *lists, threads=False)
    return lists


def _cpu(types: torch.Tensor, n_types: int) -> tuple[torch.Tensor, torch.Tensor]:
    lists = _unchecked(types, n_types)
    if int(lists[0][0]):
        got = int(types.min()), int(types.max())
        raise DataError(problem("atom_types", f"must hold types from 0 to {n_types - 1}", got=got))
    return lists


def _empty(types: torch.Tensor, n_types: int) -> tuple[torch.Tensor, torch.Tensor]:
    return types.new_empty(n_types + 1), types.new_empty(types.shape[0])


type_lists = define("type_lists(Tensor types, SymInt n_types) -> (Tensor, Tensor)", _cpu, _empty, _unchecked)
"""Types [n_atoms], int64, to the place where the atoms of each type begin in the second result [n_types + 1], and the
atoms ordered by type [n_atoms]. A type that does not exist is a ``DataError``."""
