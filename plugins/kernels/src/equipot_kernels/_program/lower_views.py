"""Views, and reductions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from equipot_kernels._program.ir import Size
from equipot_kernels._program.lower_ops import Handler, Op, handles
from equipot_kernels._program.lower_refs import View, merged, shifted
from equipot_kernels._program.lower_sizes import ONE, ZERO, add, scaled
from equipot_kernels._program.record import refuse

# --------------------------------------------------------------------- views


def unsqueezed(view: View, dimension: int) -> View:
    """The view with a dimension of size 1 in a place."""
    return View(view.node, view.offset, (*view.dims[:dimension], (), *view.dims[dimension:]))


@handles("view.default", "_unsafe_view.default", "reshape.default", "_reshape_alias.default", "squeeze.dim",
         "squeeze.default", "squeeze.dims", "unsqueeze.default", "flatten.using_ints")  # fmt: skip
def _view(o: Op) -> View:
    return o.graph.reshape(o.arguments[0], o.out.shape)


@handles("expand.default")
def _expand(o: Op) -> View:
    return o.graph.expand(o.arguments[0], o.out.shape)


@handles("repeat.default")
def _repeat(o: Op) -> View:
    view = o.arguments[0]
    shape = [ONE] * (len(o.out.shape) - len(view.dims)) + list(view.shape)
    paired = [size for pair in zip([as_size(count) for count in o.arguments[1]], shape, strict=True) for size in pair]
    spaced = [size for size in shape for size in (ONE, size)]
    return o.graph.reshape(o.graph.expand(o.graph.reshape(view, spaced), paired), o.out.shape)


def permuted(view: View, order: Sequence[int]) -> View:
    """The view with its dimensions in another order."""
    return View(view.node, view.offset, tuple(view.dims[i] for i in order))


@handles("t.default", "transpose.int", "permute.default", "movedim.int")
def _permute(o: Op) -> View:
    view = o.arguments[0]
    rank = len(view.dims)
    if len(o.arguments) == 1:
        order = list(reversed(range(rank)))
    elif len(o.arguments) == 2:
        order = [i % rank for i in o.arguments[1]]
    else:
        order = list(range(rank))
        first, second = o.arguments[1] % rank, o.arguments[2] % rank
        order[first], order[second] = second, first
    return permuted(view, order)


def as_size(value: int | Size) -> Size:
    """A number as a size."""
    return value if isinstance(value, Size) else Size(value)


def from_start(start: Any, size: Size) -> Size:
    """An index along a dimension that may be counted from its end."""
    negative = isinstance(start, int) and start < 0
    return add(size, Size(start)) if negative else as_size(0 if start is None else start)


def sliced(o: Op, view: View, dimension: int, start: Size, length: Size, step: int = 1) -> View:
    """Some indices along a dimension."""
    if start == ZERO and length == view.shape[dimension]:
        return view
    view = o.graph.plain(view, dimension)
    axes = merged(view.dims[dimension])
    stride = axes[0][1] if axes else ZERO
    offset = shifted(view.offset, stride, start)
    if offset is None:
        raise refuse("the place of a slice is a product of two sizes that differ between calls", o.graph.line)
    dim = ((length, scaled(stride, step)),) if length != ONE else ()
    return View(view.node, offset, (*view.dims[:dimension], dim, *view.dims[dimension + 1 :]))


@handles("slice.Tensor")
def _slice(o: Op) -> View:
    view = o.arguments[0]
    dimension = o.given(1, "dim", 0) % len(view.dims)
    start = from_start(o.given(2, "start"), view.shape[dimension])
    return sliced(o, view, dimension, start, o.out.shape[dimension], o.given(4, "step", 1))


def selected(o: Op, view: View, dimension: int, index: Any) -> View:
    """One index along a dimension, which goes away."""
    dimension %= len(view.dims)
    made = sliced(o, view, dimension, from_start(index, view.shape[dimension]), ONE)
    return View(made.node, made.offset, (*made.dims[:dimension], *made.dims[dimension + 1 :]))


@handles("select.int")
def _select(o: Op) -> View:
    return selected(o, *o.arguments)


@handles("unbind.int")
def _unbind(o: Op) -> list[View]:
    dimension = o.given(1, "dim", 0)
    return [selected(o, o.arguments[0], dimension, i) for i in range(len(o.outs))]


@handles("split.Tensor", "split_with_sizes.default", "chunk.default")
def _split(o: Op) -> list[View]:
    view = o.arguments[0]
    dimension = o.given(2, "dim", 0) % len(view.dims)
    made, start = [], ZERO
    for out in o.outs:
        length = out.shape[dimension]
        made.append(sliced(o, view, dimension, start, length))
        start = add(start, length)
    return made


@handles("diagonal.default")
def _diagonal(o: Op) -> View:
    view = o.arguments[0]
    rank = len(view.dims)
    shift, first, second = o.given(1, "offset", 0), o.given(2, "dim1", 0) % rank, o.given(3, "dim2", 1) % rank
    if shift:
        raise refuse("a diagonal other than the main one is used", o.graph.line)
    view = o.graph.plain(o.graph.plain(view, first), second)
    stride = ZERO
    for dimension in (first, second):
        axes = merged(view.dims[dimension])
        stride = add(stride, axes[0][1]) if axes else stride
    length = o.out.shape[-1]
    rest = tuple(dim for i, dim in enumerate(view.dims) if i not in (first, second))
    return View(view.node, view.offset, (*rest, ((length, stride),) if length != ONE else ()))


# ----------------------------------------------------------------- reductions


@handles("sum.dim_IntList", "sum.default")
def _sum(o: Op) -> View:
    view = o.cast(o.arguments[0], o.out.dtype)
    rank = len(view.dims)
    dims = [d % rank for d in (o.given(1, "dim") or range(rank))] if rank else []
    return o.graph.reshape(o.graph.summed(view, dims), o.out.shape)


def _chain(op: str) -> Handler:
    """A reduction over one dimension of few elements."""

    def handler(o: Op) -> View:
        view = o.cast(o.arguments[0], o.out.dtype)
        dimension = o.arguments[1][0] if isinstance(o.arguments[1], list) else o.arguments[1]
        size = view.shape[dimension % len(view.dims)].constant
        parts = [selected(o, view, dimension, i) for i in range(size)]
        made = parts[0]
        for part in parts[1:]:
            made = o.graph.point(op, [made, part], o.out.dtype)
        return o.graph.reshape(made, o.out.shape)

    return handler


_MOST_PARTS = 16
"""Of a reduction that is short."""

SHORT = {"aten.prod.dim_int": _chain("mul"), "aten.any.dim": _chain("or"), "aten.all.dim": _chain("and"),
         "aten.amax.default": _chain("maximum"), "aten.amin.default": _chain("minimum")}  # fmt: skip
"""Reductions that have a handler over one dimension of few elements only."""


def is_short(arguments: Sequence[Any]) -> bool:
    """Whether a reduction is over one dimension of few elements, which is the same in every call."""
    view, dims = arguments[0], arguments[1] if len(arguments) > 1 else None
    dims = dims if isinstance(dims, list) else [dims]
    if len(dims) != 1 or dims[0] is None or not view.dims:
        return False
    size = view.shape[dims[0] % len(view.dims)]
    return not size.factors and 1 <= size.constant <= _MOST_PARTS
