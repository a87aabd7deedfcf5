"""How each torch operation is written with nodes.

A handler gets the graph, the operation's arguments (views instead of tensors, ``Size`` for integers that differ between
calls) and what its results are; it returns one view or a list of them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from equipot_kernels._program.ir import DType, Size
from equipot_kernels._program.lower_graph import Graph
from equipot_kernels._program.lower_refs import View
from equipot_kernels._program.record import refuse

DTYPES: dict[torch.dtype, DType] = {
    torch.float32: "float32",
    torch.float64: "float64",
    torch.int64: "int64",
    torch.bool: "bool",
}
TORCH_DTYPES = {name: dtype for dtype, name in DTYPES.items()}


@dataclass(frozen=True)
class Out:
    """A result of an operation."""

    shape: tuple[Size, ...]
    dtype: DType


@dataclass(frozen=True)
class Op:
    """An operation at hand."""

    graph: Graph
    arguments: tuple[Any, ...]
    keywords: dict[str, Any]
    outs: tuple[Out, ...]

    @property
    def out(self) -> Out:
        """Its first result."""
        return self.outs[0]

    def given(self, position: int, name: str, default: Any = None) -> Any:
        """An argument that may be given by position or by name."""
        if position < len(self.arguments):
            return self.arguments[position]
        return self.keywords.get(name, default)

    def cast(self, value: Any, dtype: DType) -> View:
        """A number or tensor as a tensor of a type."""
        if isinstance(value, View):
            return self.graph.point("copy", [value], dtype)
        if isinstance(value, Size):
            raise refuse("a size of the batch is used as a number", self.graph.line)
        return self.graph.constant(value, dtype)

    def point(self, op: str, *values: Any, dtype: DType | None = None) -> View:
        """One operation on numbers or tensors, all as the type of the result unless another is given."""
        kind = dtype or self.out.dtype
        return self.graph.point(op, [self.cast(value, kind) for value in values], kind)


Handler = Callable[[Op], "View | list[View]"]

HANDLERS: dict[str, Handler] = {}


def handles(*names: str) -> Callable[[Handler], Handler]:
    """Make a function the handler of operations of aten."""

    def keep(function: Handler) -> Handler:
        HANDLERS.update({f"aten.{name}": function for name in names})
        return function

    return keep


def register(names: Sequence[str], handler: Handler) -> None:
    """The same for a handler without a function of its own."""
    handles(*names)(handler)
