"""From two recordings to nodes: operation by operation, with in-place changes made explicit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from equipot_kernels._program.ir import Size
from equipot_kernels._program.lower_elementwise import BITWISE
from equipot_kernels._program.lower_graph import Graph
from equipot_kernels._program.lower_joins import BY_ROWS, by_rows
from equipot_kernels._program.lower_kernels import KernelCall, kernel_call
from equipot_kernels._program.lower_ops import DTYPES, HANDLERS, Handler, Op, Out
from equipot_kernels._program.lower_refs import Part, View
from equipot_kernels._program.lower_sizes import ONE, ZERO, Symbols
from equipot_kernels._program.lower_views import SHORT, is_short
from equipot_kernels._program.record import Recorded, Recording, is_fake, refuse

_IGNORED = {"aten._assert_async.msg", "aten._assert_async.default", "aten._assert_scalar.default",
            "aten._assert_tensor_metadata.default", "aten.sym_constrain_range_for_size.default"}  # fmt: skip
"""Checks of values, which a program does not make."""

_CALLED = {"aten.mean", "aten.var", "aten.std", "aten.prod", "aten.any", "aten.all", "aten.amax", "aten.amin",
           "aten.cumsum", "aten._linalg_det", "aten.linalg_inv_ex", "aten.linalg_vector_norm", "aten.std_mean",
           "aten.var_mean", "aten.argmax", "aten.argmin", "aten.max", "aten.min"}  # fmt: skip
"""Operations that are called as they are, not decomposed, unless they have a handler."""


def handled(op: Any) -> bool:
    """Whether an operation must not be decomposed."""
    name = str(op)
    return (
        _functional(name) in HANDLERS
        or name in _IGNORED
        or name in SHORT
        or name in BY_ROWS
        or name in BITWISE
        or str(op.overloadpacket) in _CALLED
        or op.namespace != "aten"
    )


def _functional(name: str) -> str:
    """The name of the operation without the underscore of changes in place."""
    head, _, overload = name.rpartition(".")
    return f"{head[:-1]}.{overload}" if head.endswith("_") and not head.endswith("__") else name


@dataclass(frozen=True)
class TorchOp:
    """A torch operation that stays one; its views are ``("view", number)`` in the arguments."""

    op: str
    arguments: tuple[tuple[str, Any], ...]
    keywords: tuple[tuple[str, tuple[str, Any]], ...]


@dataclass
class _Memory:
    """What tensors share."""

    base: torch.Tensor
    """The first tensor with this memory: the one that owns it."""
    mirror: torch.Tensor
    """The same in the other recording."""
    value: View | None = None
    """What it holds in order, once it has been changed in place."""
    version: int = 0
    protected: bool = False
    """Whether it belongs to an argument of the program or to a constant."""


class Lowering:
    """The nodes of a recording.

    Args:
        first: A recording.
        second: The same function with other sizes.
        symbols: The sizes behind numbers that differ.
    """

    def __init__(self, first: Recording, second: Recording, symbols: Symbols) -> None:
        self.graph = Graph()
        self._symbols = symbols
        self._values: dict[int, tuple[View, int]] = {}
        self._memories: dict[int, _Memory] = {}
        self.inputs = [self._input(a, b) for a, b in zip(first.inputs, second.inputs, strict=True)]
        if len(first.ops) != len(second.ops):
            raise refuse("the operations depend on the numbers of atoms, frames or edges")
        for one, other in zip(first.ops, second.ops, strict=True):
            self.graph.line = one.line
            if one.op is not other.op:
                raise refuse("the operations depend on the numbers of atoms, frames or edges", one.line)
            self._lower(one, other)
        self.graph.line = ""
        self.results = [
            None if a is None or b is None else self._view(a, b)
            for a, b in zip(first.results, second.results, strict=True)
        ]

    # ------------------------------------------------------------ tensors

    def size(self, first: int, second: int) -> Size:
        """The size behind two numbers."""
        found = self._symbols.size(int(first), int(second))
        if found is None:
            raise refuse("a size is not linear in the numbers of atoms, frames and edges", self.graph.line)
        return found

    def _out(self, a: torch.Tensor, b: torch.Tensor) -> Out:
        if a.dtype not in DTYPES:
            raise refuse(f"a tensor of {a.dtype} is used", self.graph.line)
        if a.dim() != b.dim() or a.layout != torch.strided or a.device.type != "cpu":
            raise refuse("a tensor is not an ordinary one on the CPU", self.graph.line)
        return Out(tuple(self.size(x, y) for x, y in zip(a.shape, b.shape, strict=True)), DTYPES[a.dtype])

    def _input(self, a: torch.Tensor, b: torch.Tensor) -> View:
        out = self._out(a, b)
        view = self.graph.input(out.shape, out.dtype)
        self._keep(a, b, view)
        self._memory(a).protected = True
        return view

    def _memory(self, a: torch.Tensor) -> _Memory:
        return self._memories[_key(a)]

    def _keep(self, a: torch.Tensor, b: torch.Tensor, view: View) -> None:
        memory = self._memories.setdefault(_key(a), _Memory(a, b))
        self._values[id(a)] = (view, memory.version)

    def _view(self, a: torch.Tensor, b: torch.Tensor) -> View:
        """What a tensor holds now."""
        if id(a) not in self._values:
            self._constant(a, b)
        view, version = self._values[id(a)]
        memory = self._memory(a)
        if version == memory.version:
            return view
        assert memory.value is not None  # noqa: S101 - it has been changed
        offset, axes = self._place(a, b, memory)
        view = View(memory.value.node, offset, tuple((axis,) if axis[0] != ONE else () for axis in axes))
        self._values[id(a)] = (view, memory.version)
        return view

    def _place(self, a: torch.Tensor, b: torch.Tensor, memory: _Memory) -> tuple[Size, list[tuple[Size, Size]]]:
        """Offset and axes of a tensor within its memory."""
        first = int(a.storage_offset() - memory.base.storage_offset())
        offset = self.size(first, int(b.storage_offset() - memory.mirror.storage_offset()))
        pairs = zip(a.shape, b.shape, a.stride(), b.stride(), strict=True)
        return offset, [(self.size(n, m), self.size(s, t)) for n, m, s, t in pairs]

    def _constant(self, a: torch.Tensor, b: torch.Tensor) -> None:
        """A tensor that the model holds, but not as a parameter or buffer."""
        if is_fake(a) or is_fake(b):
            raise refuse("a tensor of unknown origin is used", self.graph.line)
        if a.requires_grad or isinstance(a, torch.nn.Parameter):
            raise refuse("a parameter is used that the model does not list", self.graph.line)
        out = self._out(a, b)
        if a.shape != b.shape or not torch.equal(a, b):
            raise refuse("a constant differs between calls", self.graph.line)
        self._keep(a, b, self.graph.array(np.array(a.detach().numpy()), out.dtype))
        self._memory(a).protected = True

    # --------------------------------------------------------- operations

    def _lower(self, one: Recorded, other: Recorded) -> None:
        name = str(one.op)
        if name in _IGNORED:
            return
        outs_a, outs_b = _tensors(one.result), _tensors(other.result)
        if len(outs_a) != len(outs_b):
            raise refuse("the number of tensors depends on the numbers of atoms, frames or edges", one.line)
        in_place = one.op._schema.is_mutable  # noqa: SLF001 - torch's own way to ask
        arguments = tuple(self._argument(x, y) for x, y in zip(one.arguments, other.arguments, strict=True))
        keywords = {key: self._argument(x, other.keywords[key]) for key, x in one.keywords.items()}
        outs = tuple(self._out(x, y) for x, y in zip(outs_a, outs_b, strict=True))
        handler = self._handler(_functional(name) if in_place else name, arguments, outs)
        if handler is None and in_place:
            raise refuse(f"{name} changes a tensor in place", one.line)
        if handler is None:
            views = self._called(one, other, arguments, keywords, outs)
        else:
            made = handler(Op(self.graph, arguments, keywords, outs))
            views = made if isinstance(made, list) else [made]
        if in_place:
            self._replace(one.arguments[0], other.arguments[0], views[0])
            return
        for a, b, out, view in zip(outs_a, outs_b, outs, views, strict=True):
            if view.shape != out.shape:
                raise refuse(f"{name} gives a shape that is not understood", one.line)
            self._keep(a, b, view)

    @staticmethod
    def _handler(name: str, arguments: Sequence[Any], outs: Sequence[Out]) -> Handler | None:
        if name in SHORT and is_short(arguments):
            return SHORT[name]
        if name in BY_ROWS and by_rows(name, arguments):
            return BY_ROWS[name]
        if name in BITWISE and all(out.dtype == "bool" for out in outs):
            return BITWISE[name]
        return HANDLERS.get(name)

    def _argument(self, x: Any, y: Any) -> Any:
        if isinstance(x, torch.Tensor) and isinstance(y, torch.Tensor):
            return self._view(x, y)
        if isinstance(x, list | tuple) or isinstance(y, torch.Tensor) or isinstance(x, torch.Tensor):
            if type(x) is not type(y) or len(x) != len(y):
                raise refuse("the operations depend on the numbers of atoms, frames or edges", self.graph.line)
            return [self._argument(p, q) for p, q in zip(x, y, strict=True)]
        if x == y or (x != x and y != y):  # noqa: PLR0124 - NaN
            return x
        if type(x) is int and type(y) is int:
            return self.size(x, y)
        raise refuse(f"a number differs between calls ({x!r}, {y!r})", self.graph.line)

    def _replace(self, a: torch.Tensor, b: torch.Tensor, view: View) -> None:
        """Change a tensor in place, and with it all that share its memory."""
        memory = self._memory(a)
        if memory.protected:
            raise refuse("changes a parameter, a buffer or an input of the model in place", self.graph.line)
        if not memory.base.is_contiguous():
            raise refuse("changes a tensor in place that is not contiguous", self.graph.line)
        offset, axes = self._place(a, b, memory)
        shape = tuple(self.size(n, m) for n, m in zip(memory.base.shape, memory.mirror.shape, strict=True))
        whole = self.graph.numel(shape)
        view = self.graph.expand(view, tuple(size for size, _ in axes))
        if offset == ZERO and a.is_contiguous() and self.graph.numel(view.shape) == whole:
            new = self.graph.reshape(view, (whole,))
            memory.value = new if new.whole else self.graph.copied(new)
        else:
            memory.value = self._changed(memory, view, offset, [stride for _, stride in axes], whole)
        memory.version += 1
        self._values[id(a)] = (view, memory.version)

    def _changed(self, memory: _Memory, view: View, offset: Size, strides: list[Size], whole: Size) -> View:
        """The memory with some elements replaced."""
        old = memory.value or self.graph.reshape(self._values[id(memory.base)][0], (whole,))
        source = view if all(len(dim) <= 1 for dim in view.dims) else self.graph.copied(view)
        kept = tuple(stride for dim, stride in zip(source.dims, strides, strict=True) if dim)
        change = Part(tuple(size for size, _ in source.axes), source.load, offset, kept, add=False)
        return self.graph.build((whole,), old.node.dtype, [self.graph.part(old, (whole,), [ZERO]), change])

    # -------------------------------------------------------------- calls

    def _called(
        self, one: Recorded, other: Recorded, arguments: Sequence[Any], keywords: dict[str, Any], outs: Sequence[Out]
    ) -> list[View]:
        found = kernel_call(one.op, one.arguments, other.arguments, self.size)
        if found is not None:
            return self._kernel(found, [part for part in arguments if isinstance(part, View)], outs)
        schema = one.op._schema  # noqa: SLF001 - torch's own way to ask
        if any(given.alias_info is not None for given in (*schema.arguments, *schema.returns)):
            raise refuse(f"{one.op} has no counterpart in programs", one.line)
        views: list[View] = []
        spec = TorchOp(
            str(one.op),
            tuple(_spec(part, views) for part in arguments),
            tuple((key, _spec(part, views)) for key, part in keywords.items()),
        )
        return self.graph.call(spec, spec, views, [(out.shape, out.dtype) for out in outs])

    def _kernel(self, found: KernelCall, views: list[View], outs: Sequence[Out]) -> list[View]:
        views = [self.graph.reshape(view, (self.graph.numel(view.shape),)) for view in views]
        views = [view if view.contiguous else self.graph.copied(view) for view in views]
        made = self.graph.call(found, found, views, [(out.shape, out.dtype) for out in found.made])
        given = len(views)
        return [
            self.graph.build(out.shape, out.dtype, ()) if number is None else made[number - given]
            for number, out in zip(found.results, outs, strict=True)
        ]


def _key(tensor: torch.Tensor) -> int:
    return tensor.untyped_storage()._cdata  # noqa: SLF001 - the only identity that fake tensors have


def _tensors(result: Any) -> list[torch.Tensor]:
    if isinstance(result, torch.Tensor):
        return [result]
    return [part for part in result if isinstance(part, torch.Tensor)] if isinstance(result, list | tuple) else []


def _spec(value: Any, views: list[View]) -> tuple[str, Any]:
    if isinstance(value, View):
        views.append(value)
        return ("view", len(views) - 1)
    if isinstance(value, Size):
        return ("size", value)
    if isinstance(value, torch.dtype):
        return ("dtype", str(value).removeprefix("torch."))
    if isinstance(value, list | tuple):
        return ("list", tuple(_spec(part, views) for part in value))
    if value is None or isinstance(value, bool | int | float | str):
        return ("value", value)
    if isinstance(value, torch.device | torch.layout | torch.memory_format):
        return ("value", None)
    raise refuse(f"an operation gets {value!r}")
