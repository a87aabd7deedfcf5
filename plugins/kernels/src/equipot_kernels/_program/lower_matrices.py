"""Matrix products of views as calls of BLAS, which knows one stride along rows, columns and the matrices of a batch."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

from equipot_kernels._program.ir import Size
from equipot_kernels._program.lower_refs import Dim, View, merged, refined, strides_in
from equipot_kernels._program.lower_sizes import ONE, ZERO, add, product, scaled, times

_MOST_CALLS = 32


_Three = tuple[Size, Size, Size]
"""For a, b and c."""


@dataclass(frozen=True)
class _Axis:
    """An axis of the product: its size and its strides in a, b and c."""

    size: Size
    a: Size
    b: Size
    c: Size


@dataclass(frozen=True)
class Call:
    """One call: sizes, and for a, b, c offset, row stride, column stride and batch stride."""

    count: Size
    m: Size
    n: Size
    k: Size
    offsets: _Three
    rows: _Three
    columns: _Three
    batches: _Three
    add: bool
    """Whether it is a further part of a sum."""


def product_of(a: View, b: View, c: tuple[Dim, ...] | None = None) -> list[Call] | None:
    """The calls that compute a product.

    Args:
        a: [rows, inner], or [count, rows, inner].
        b: [inner, columns], or [count, inner, columns].
        c: Dimensions of the result; None: without gaps.

    Returns:
        The calls, which leave out the offsets of a, b and c themselves; None if BLAS cannot do it.
    """
    if c is None:
        found = _without_gaps((*a.shape[:-1], b.shape[-1]))
        if found is None:
            return None
        c = found
    rows = _axes(a.dims[-2], None, c[-2])
    columns = _axes(None, b.dims[-1], c[-1])
    inner = _axes(a.dims[-1], b.dims[-2], None)
    counts = _axes(a.dims[0], b.dims[0], c[0]) if len(a.dims) == 3 else []
    if rows is None or columns is None or inner is None or counts is None:
        return None
    chosen = [
        made
        for row in _choices(rows)
        for column in _choices(columns)
        for depth in _choices(inner)
        if (made := _calls(counts, row, column, depth)) is not None
    ]
    return min(chosen, key=len, default=None)


_Choice = tuple[_Axis, list[_Axis]]
"""The axis of a call, and the others."""


def _choices(axes: Sequence[_Axis]) -> list[_Choice]:
    """Every axis that a call may go along, the largest first."""
    if not axes:
        return [(_Axis(ONE, ZERO, ZERO, ZERO), [])]
    ordered = sorted(axes, key=_weight, reverse=True)
    return [(axis, [other for other in axes if other is not axis]) for axis in ordered]


def _weight(axis: _Axis) -> tuple[int, int]:
    return sum(factor for _, factor in axis.size.factors), axis.size.constant


def _calls(counts: Sequence[_Axis], rows: _Choice, columns: _Choice, inner: _Choice) -> list[Call] | None:
    """The calls along some axes; None if BLAS cannot do it."""
    row, column, depth = rows[0], columns[0], inner[0]
    strides = _strides(row, column, depth)
    batch, unrolled = _choices([*counts, *rows[1], *columns[1]])[0]
    extra = [*unrolled, *inner[1]]
    if strides is None or any(axis.size.factors for axis in extra):
        return None
    if math.prod(axis.size.constant for axis in extra) > _MOST_CALLS:
        return None
    made = []
    for chosen in itertools.product(*(range(axis.size.constant) for axis in extra)):
        offsets = (_offset(extra, chosen, "a"), _offset(extra, chosen, "b"), _offset(extra, chosen, "c"))
        later = any(chosen[len(unrolled) :])
        sizes = (batch.size, row.size, column.size, depth.size)
        made.append(Call(*sizes, offsets, *strides, (batch.a, batch.b, batch.c), later))
    return made


def _without_gaps(shape: Sequence[Size]) -> tuple[Dim, ...] | None:
    made: list[Dim] = []
    step: Size | None = ONE
    for size in reversed(shape):
        if step is None:
            return None
        made.append(((size, step),) if size != ONE else ())
        step = times(step, size)
    return tuple(reversed(made))


def _axes(a: Dim | None, b: Dim | None, c: Dim | None) -> list[_Axis] | None:
    """The common axes of a dimension of the operands that have it, joined where possible for all of them."""
    dims = {name: merged(dim) for name, dim in zip("abc", (a, b, c), strict=True) if dim is not None}
    sizes: tuple[Size, ...] | None = None
    for dim in dims.values():
        own = tuple(size for size, _ in dim)
        sizes = own if sizes is None else refined(sizes, own)
        if sizes is None:
            return None
    assert sizes is not None  # noqa: S101 - two of three are given
    strides: dict[str, Sequence[Size]] = {}
    for name in "abc":
        if name not in dims:
            strides[name] = (ZERO,) * len(sizes)
            continue
        found = strides_in([size for size, _ in dims[name]], [step for _, step in dims[name]], sizes)
        if found is None:
            return None
        strides[name] = found
    return _joined([_Axis(*parts) for parts in zip(sizes, strides["a"], strides["b"], strides["c"], strict=True)])


def _joined(axes: Sequence[_Axis]) -> list[_Axis]:
    made: list[_Axis] = []
    for axis in axes:
        last = made[-1] if made else None
        size = None if last is None else product([last.size, axis.size])
        if (
            last is not None
            and size is not None
            and all(getattr(last, name) == times(axis.size, getattr(axis, name)) for name in "abc")
        ):
            made[-1] = _Axis(size, axis.a, axis.b, axis.c)
        else:
            made.append(axis)
    return made


def _strides(row: _Axis, column: _Axis, depth: _Axis) -> tuple[_Three, _Three] | None:
    """Row and column strides of a, b and c, one of which is 1 in each."""
    pairs = [
        _pair(row.size, row.a, depth.size, depth.a),
        _pair(depth.size, depth.b, column.size, column.b),
        _pair(row.size, row.c, column.size, column.c),
    ]
    a, b, c = pairs
    return None if a is None or b is None or c is None else ((a[0], b[0], c[0]), (a[1], b[1], c[1]))


def _pair(rows: Size, row: Size, columns: Size, column: Size) -> tuple[Size, Size] | None:
    if rows == ONE and columns == ONE:
        return ONE, ONE
    if rows == ONE:
        row = columns if column == ONE else ONE
    if columns == ONE:
        column = rows if row == ONE else ONE
    if ZERO in (row, column) or ONE not in (row, column):
        return None
    return row, column


def _offset(axes: Sequence[_Axis], chosen: Sequence[int], name: str) -> Size:
    made = ZERO
    for axis, number in zip(axes, chosen, strict=True):
        made = add(made, scaled(getattr(axis, name), number))
    return made
