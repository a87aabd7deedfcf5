"""Joining and placing tensors, rows by their numbers, matrix products."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from equipot_kernels._program.ir import Size
from equipot_kernels._program.lower_elementwise import filled
from equipot_kernels._program.lower_graph import broadcast, is_constant
from equipot_kernels._program.lower_ops import Op, handles
from equipot_kernels._program.lower_refs import Part, View, row_major
from equipot_kernels._program.lower_sizes import ZERO, add, constant, scaled
from equipot_kernels._program.lower_views import as_size, from_start, selected, sliced, unsqueezed
from equipot_kernels._program.record import refuse

# ------------------------------------------------------------ joining, placing


def zeros(shape: Sequence[Size]) -> list[Size]:
    """The first index along every dimension."""
    return [ZERO] * len(shape)


@handles("cat.default")
def _cat(o: Op) -> View:
    views = [o.cast(view, o.out.dtype) for view in o.arguments[0]]
    views = [view for view in views if view.shape != (ZERO,)]  # torch lets such empty tensors through
    dimension = o.given(1, "dim", 0) % len(o.out.shape)
    parts, start = [], ZERO
    for view in views:
        starts = zeros(o.out.shape)
        starts[dimension] = start
        start = add(start, view.shape[dimension])
        if ZERO not in view.shape:
            parts.append(o.graph.part(view, o.out.shape, starts))
    return o.graph.build(o.out.shape, o.out.dtype, parts)


@handles("stack.default")
def _stack(o: Op) -> View:
    dimension = o.given(1, "dim", 0) % len(o.out.shape)
    parts = []
    for number, view in enumerate(o.arguments[0]):
        starts = zeros(o.out.shape)
        starts[dimension] = Size(number)
        parts.append(o.graph.part(unsqueezed(o.cast(view, o.out.dtype), dimension), o.out.shape, starts))
    return o.graph.build(o.out.shape, o.out.dtype, parts)


def _placed(o: Op, view: View, dimension: int, start: Size, step: int, base: View | None) -> View:
    """A tensor in a dimension's indices from start on, added to zeros or replacing what a base has there."""
    shape = o.out.shape
    whole = view.shape == shape
    if whole and start == ZERO:
        return view
    starts = zeros(shape)
    starts[dimension] = start
    part = o.graph.part(view, shape, starts, add=base is None)
    if step != 1:
        part = _spread(part, view, dimension, step)
    first = [] if base is None else [o.graph.part(base, shape, zeros(shape))]
    return o.graph.build(shape, o.out.dtype, [*first, part])


def _spread(part: Part, view: View, dimension: int, step: int) -> Part:
    before = sum(len(dim) for dim in view.dims[:dimension])
    here = range(before, before + len(view.dims[dimension]))
    strides = tuple(scaled(stride, step) if i in here else stride for i, stride in enumerate(part.strides))
    return Part(part.space, part.value, part.offset, strides, add=part.add)


@handles("slice_backward.default")
def _slice_backward(o: Op) -> View:
    g, _, dimension, start, _, step = o.arguments
    dimension %= len(o.out.shape)
    return _placed(o, g, dimension, from_start(start, o.out.shape[dimension]), step, None)


@handles("select_backward.default")
def _select_backward(o: Op) -> View:
    g, _, dimension, index = o.arguments
    dimension %= len(o.out.shape)
    return _placed(o, unsqueezed(g, dimension), dimension, from_start(index, o.out.shape[dimension]), 1, None)


@handles("slice_scatter.default")
def _slice_scatter(o: Op) -> View:
    base, source = o.cast(o.arguments[0], o.out.dtype), o.cast(o.arguments[1], o.out.dtype)
    dimension = o.given(2, "dim", 0) % len(o.out.shape)
    start = from_start(o.given(3, "start"), o.out.shape[dimension])
    return _placed(o, source, dimension, start, o.given(5, "step", 1), base)


@handles("select_scatter.default")
def _select_scatter(o: Op) -> View:
    base, source, dimension, index = o.arguments
    dimension %= len(o.out.shape)
    start = from_start(index, o.out.shape[dimension])
    return _placed(o, unsqueezed(o.cast(source, o.out.dtype), dimension), dimension, start, 1, base)


@handles("constant_pad_nd.default")
def _pad(o: Op) -> View:
    view, pads = o.arguments[:2]
    value = o.given(2, "value", 0)
    starts = zeros(o.out.shape)
    for number, (first, last) in enumerate(zip(pads[::2], pads[1::2], strict=True)):
        dimension = len(starts) - 1 - number
        cut = [-pad if isinstance(pad, int) and pad < 0 else 0 for pad in (first, last)]  # the gradient of a pad
        if any(cut):
            length = add(view.shape[dimension], constant(-sum(cut)))
            view = sliced(o, view, dimension, constant(cut[0]), length)
        starts[dimension] = as_size(0 if cut[0] else first)
    base = [] if value == 0 else [o.graph.part(filled(value)(o), o.out.shape, zeros(starts))]  # type: ignore[arg-type]
    return o.graph.build(o.out.shape, o.out.dtype, [*base, o.graph.part(view, o.out.shape, starts, add=not base)])


@handles("diagonal_backward.default")
def _diagonal_backward(o: Op) -> View:
    g, _, shift, first, second = o.arguments
    rank = len(o.out.shape)
    first, second = first % rank, second % rank
    steps = row_major(o.out.shape)
    if shift or steps is None:
        raise refuse("a diagonal other than the main one is used", o.graph.line)
    strides = [step for i, step in enumerate(steps) if i not in (first, second)]
    strides.append(add(steps[first], steps[second]))
    copied = g if all(len(dim) <= 1 for dim in g.dims) else o.graph.copied(g)
    kept = tuple(stride for dim, stride in zip(copied.dims, strides, strict=True) if dim)
    part = Part(tuple(size for size, _ in copied.axes), copied.load, ZERO, kept)
    return o.graph.build(o.out.shape, o.out.dtype, [part])


# ----------------------------------------------------------------- by number


@handles("index_select.default")
def _index_select(o: Op) -> View:
    view, dimension, index = o.arguments
    flat = o.graph.reshape(index, (o.graph.numel(index.shape),))
    return o.graph.reshape(o.graph.gather(view, dimension % max(1, len(view.dims)), flat), o.out.shape)


@handles("embedding.default")
def _embedding(o: Op) -> View:
    return o.graph.gather(o.arguments[0], 0, o.arguments[1])


@handles("index.Tensor", "_unsafe_index.Tensor")
def _index(o: Op) -> View:
    view, indices = o.arguments
    chosen = [number for number, index in enumerate(indices) if index is not None]
    if chosen != list(range(chosen[0], chosen[-1] + 1)):
        raise refuse("a tensor is indexed by tensors in dimensions that are not neighbours", o.graph.line)
    sizes = [view.shape[number] for number in chosen]
    flat: View | None = None
    for index, size in zip((indices[number] for number in chosen), sizes, strict=True):
        found = _from_end(o, index, size)
        if flat is not None:
            if size.factors:
                raise refuse("a tensor is indexed by several tensors along a size of the batch", o.graph.line)
            flat = o.graph.point("mul", [flat, o.graph.constant(size.constant, "int64")], "int64")
            found = o.graph.point("add", [flat, found], "int64")
        flat = found
    first, last = chosen[0], chosen[-1]
    joined = o.graph.reshape(view, (*view.shape[:first], o.graph.numel(sizes), *view.shape[last + 1 :]))
    return o.graph.reshape(o.graph.gather(joined, first, flat), o.out.shape)  # type: ignore[arg-type]


def _from_end(o: Op, index: View, size: Size) -> View:
    """Row numbers, of which negative ones count from the end; along a size of the batch they must not be negative."""
    if index.node.dtype != "int64":
        raise refuse("a tensor is indexed by values that are not integers", o.graph.line)
    if size.factors:
        return index
    zero, most = o.graph.constant(0, "int64"), o.graph.constant(size.constant, "int64")
    negative = o.graph.point("lt", [index, zero], "bool")
    return o.graph.point("where", [negative, o.graph.point("add", [index, most], "int64"), index], "int64")


@handles("index_add.default")
def _index_add(o: Op) -> View:
    base, dimension, index, source = o.arguments[:4]
    alpha = o.given(4, "alpha", 1)
    source = source if alpha == 1 else o.point("mul", source, alpha)
    return _summed_by_rows(o, base, dimension, index, source)


def _summed_by_rows(o: Op, base: View | None, dimension: int, index: View, source: View) -> View:
    start = None if base is None or is_constant(base, 0) else base
    rank = max(1, len(o.out.shape))
    return o.graph.scattered(start, dimension % rank, index, source, o.out.shape)


@handles("embedding_dense_backward.default")
def _embedding_backward(o: Op) -> View:
    g, index, _, padding, by_frequency = o.arguments
    if by_frequency or (isinstance(padding, int) and padding >= 0):
        raise refuse("an embedding with padding or scaled gradients is used", o.graph.line)
    rows = o.graph.numel(index.shape)
    flat = o.graph.reshape(g, (rows, o.out.shape[1]))
    return _summed_by_rows(o, None, 0, o.graph.reshape(index, (rows,)), flat)


@handles("index_put.default", "_unsafe_index_put.default")
def _index_put(o: Op) -> View:
    base, indices, values = o.arguments[:3]
    if not o.given(3, "accumulate", False):
        raise refuse("values are written to numbered rows", o.graph.line)
    chosen = [number for number, index in enumerate(indices) if index is not None]
    index = indices[chosen[0]]
    if len(chosen) != 1 or len(index.dims) != 1:
        raise refuse("values are added to elements with several indices", o.graph.line)
    shape = list(o.out.shape)
    shape[chosen[0]] = index.shape[0]
    values = o.graph.expand(o.cast(values, o.out.dtype), shape)
    return _summed_by_rows(o, base, chosen[0], _from_end(o, index, o.out.shape[chosen[0]]), values)


def _rows_only(view: View, dimension: int) -> View | None:
    """The row numbers of an index that is the same along all other dimensions."""
    others = [dim for i, dim in enumerate(view.dims) if i != dimension]
    if any(stride != ZERO for dim in others for _, stride in dim):
        return None
    return View(view.node, view.offset, (view.dims[dimension],))


def by_rows(name: str, arguments: Sequence[Any]) -> bool:
    """Whether ``gather`` or ``scatter_add`` of these arguments is of whole rows."""
    view, dimension, index = arguments[:3]
    if not view.dims or _rows_only(index, dimension % len(view.dims)) is None:
        return False
    others = [i for i in range(len(view.dims)) if i != dimension % len(view.dims)]
    same = arguments[3] if name == "aten.scatter_add.default" else index
    return all(index.shape[i] == view.shape[i] == same.shape[i] for i in others)


def _gather_rows(o: Op) -> View:
    view, dimension, index = o.arguments[:3]
    rows = _rows_only(index, dimension % len(view.dims))
    return o.graph.gather(view, dimension % len(view.dims), rows)  # type: ignore[arg-type]


def _scatter_rows(o: Op) -> View:
    base, dimension, index, source = o.arguments
    rows = _rows_only(index, dimension % len(base.dims))
    return _summed_by_rows(o, base, dimension, rows, source)  # type: ignore[arg-type]


BY_ROWS = {"aten.gather.default": _gather_rows, "aten.scatter_add.default": _scatter_rows}
"""Operations that have a handler only for an index that is the same along all other dimensions."""


# ------------------------------------------------------------------- matrices


@handles("mm.default", "bmm.default")
def _mm(o: Op) -> View:
    first, second = o.arguments
    if ZERO in (*first.shape, *second.shape):
        return filled(0)(o)  # type: ignore[return-value]
    return o.graph.gemm(first, second)


@handles("addmm.default", "baddbmm.default")
def _addmm(o: Op) -> View:
    bias, first, second = o.arguments
    alpha, beta = o.given(4, "alpha", 1), o.given(3, "beta", 1)
    made = o.graph.gemm(first, second)
    made = made if alpha == 1 else o.point("mul", made, alpha)
    return o.point("add", made, bias if beta == 1 else o.point("mul", bias, beta))


@handles("mv.default")
def _mv(o: Op) -> View:
    matrix, vector = o.arguments
    return o.graph.reshape(o.graph.gemm(matrix, unsqueezed(vector, 1)), o.out.shape)


@handles("dot.default", "vdot.default")
def _dot(o: Op) -> View:
    return o.graph.reshape(o.graph.summed(o.point("mul", *o.arguments), [0]), ())


@handles("linalg_cross.default")
def _cross(o: Op) -> View:
    shape = broadcast([view.shape for view in o.arguments[:2]])
    first, second = (o.graph.expand(o.cast(view, o.out.dtype), shape) for view in o.arguments[:2])
    dimension = o.given(2, "dim", -1) % len(shape)
    parts = []
    for i in range(3):
        j, k = (i + 1) % 3, (i + 2) % 3
        a, b = ([selected(o, view, dimension, n) for n in (j, k)] for view in (first, second))
        made = o.point("sub", o.point("mul", a[0], b[1]), o.point("mul", a[1], b[0]))
        starts = zeros(shape)
        starts[dimension] = Size(i)
        parts.append(o.graph.part(unsqueezed(made, dimension), shape, starts))
    return o.graph.build(shape, o.out.dtype, parts)
