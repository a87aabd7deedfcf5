"""Where the elements of a node end up in an array that its whole result is part of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from equipot_kernels._program.ir import Size
from equipot_kernels._program.lower_refs import Axis, Load, Part, merged, row_major
from equipot_kernels._program.lower_sizes import ONE, ZERO, add, divided, times

Box = tuple[tuple[Size, Size], ...]
"""First index and length along each dimension."""


@dataclass(frozen=True)
class Digit:
    """One axis of a node's index space, taken as a digit of its elements' numbers."""

    size: Size
    place: Size
    """Its stride in the node."""
    target: Size
    """Its stride in the array."""


def digits_of(load: Load, space: Sequence[Size], targets: Sequence[Size]) -> list[Digit] | None:
    """The digits, the last one first; None unless the load has every element of the node once."""
    if load.offset != ZERO:
        return None
    rest = [Digit(*parts) for parts in zip(space, load.strides, targets, strict=True)]
    made, place = [], ONE
    while rest:
        found = next((digit for digit in rest if digit.place == place), None)
        if found is None or (following := times(place, found.size)) is None:
            return None
        rest.remove(found)
        made.append(found)
        place = following
    return made if place == load.node.size else None


def identity(load: Load, space: Sequence[Size]) -> bool:
    """Whether a load has every element of its node, in the order of the index space."""
    return load.offset == ZERO and load.strides == row_major(space) and _product_is(space, load.node.size)


def _product_is(space: Sequence[Size], size: Size) -> bool:
    made: Size | None = ONE
    for part in space:
        made = None if made is None else times(made, part)
    return made == size


def _fits(count: Size, room: Size) -> bool:
    if not count.factors and not room.factors:
        return count.constant <= room.constant
    return divided(room, count) is not None


def mapped_axis(axis: Axis, digits: Sequence[Digit]) -> list[Axis] | None:
    """An axis of the node as axes of the array."""
    size, stride = axis
    if stride == ZERO or size == ONE:
        return [(size, ZERO)] if size != ONE else []
    for digit in reversed(digits):
        step = divided(stride, digit.place)
        if step is None or (jump := times(step, digit.target)) is None:
            continue
        room = divided(digit.size, step)
        if room is None:
            last = times(step, size)
            return [(size, jump)] if last is not None and _fits(last, digit.size) else None
        if room == size or _fits(size, room):
            return [(size, jump)]
        outer, over = divided(size, room), times(stride, room)
        if outer is None or over is None:
            return None
        first = mapped_axis((outer, over), digits)
        return None if first is None else [*first, (room, jump)]
    return None


def mapped_offset(offset: Size, digits: Sequence[Digit]) -> Size | None:
    """The number of an element of the node as that of an element of the array."""
    made, rest = ZERO, offset
    for digit in reversed(digits):
        index = divided(rest, digit.place)
        if index is None and not rest.factors and not digit.place.factors:
            index = Size(rest.constant // digit.place.constant)
        if index is None:
            continue
        moved, used = times(index, digit.target), times(index, digit.place)
        if moved is None or used is None:
            return None
        made, rest = add(made, moved), add(rest, used, -1)
    return made if rest == ZERO else None


def mapped_part(inner: Part, outer: Part) -> Part | None:
    """A part of an array that is, as a whole, a part of another array, as a part of that one."""
    digits = digits_of(outer.value, outer.space, outer.strides)
    offset = None if digits is None else mapped_offset(inner.offset, digits)
    if digits is None or offset is None:
        return None
    found = inner.index.strides if inner.index is not None else (ZERO,) * len(inner.space)
    columns: list[tuple[Size, Size, Size, Size]] = []
    for size, value, target, index in zip(inner.space, inner.value.strides, inner.strides, found, strict=True):
        axes = mapped_axis((size, target), digits)
        split = None if axes is None else _split(axes, value, index)
        if split is None:
            return None
        columns += split
    row = ZERO
    if inner.index is not None:
        if digits[-1].place != inner.index_stride:
            return None  # the rows must be those of the last digit, whose number is not limited
        row = digits[-1].target
    space, values, targets, rows = (tuple(parts) for parts in zip(*columns, strict=True)) if columns else ((),) * 4
    value_load = Load(inner.value.node, inner.value.offset, values)
    rows_load = None if inner.index is None else Load(inner.index.node, inner.index.offset, rows)
    return Part(space, value_load, add(offset, outer.offset), targets, rows_load, row, inner.add)


def _split(axes: Sequence[Axis], value: Size, index: Size) -> list[tuple[Size, Size, Size, Size]] | None:
    """The axes that one axis of a part becomes: sizes, and strides in its value, in the array and in its index."""
    made: list[tuple[Size, Size, Size, Size]] = []
    inside: Size | None = ONE
    for size, jump in reversed(axes):
        one, other = (None if inside is None else times(stride, inside) for stride in (value, index))
        if one is None or other is None or inside is None:
            return None
        made.append((size, one, jump, other))
        inside = times(inside, size)
    return made[::-1]


def box_of(part: Part, shape: Sequence[Size]) -> Box | None:
    """The box of an array that a part writes once each; None if it is not a box."""
    steps = row_major(shape)
    if part.index is not None or steps is None:
        return None
    starts = _starts(part.offset, steps)
    lengths: list[list[Axis]] = [[] for _ in shape]
    for axis in zip(part.space, part.strides, strict=True):
        found = None if axis[1] == ZERO != axis[0] else _dimensions(axis, shape, steps)
        if axis[0] == ONE:
            continue
        if found is None:
            return None
        for dimension, size, step in found:
            lengths[dimension].append((size, step))
    reached = [_length(axes) for axes in lengths]
    if starts is None or any(length is None for length in reached):
        return None
    return tuple((start, length) for start, length in zip(starts, reached, strict=True) if length is not None)


def _starts(offset: Size, steps: Sequence[Size]) -> list[Size] | None:
    """An element's index along each dimension."""
    made, rest = [], offset
    for step in steps:
        index = divided(rest, step)
        if index is None:
            index = ZERO if step.factors or rest.factors else Size(rest.constant // step.constant)
        used = times(index, step)
        if used is None:
            return None
        rest = add(rest, used, -1)
        made.append(index)
    return made if rest == ZERO else None


def _dimensions(axis: Axis, shape: Sequence[Size], steps: Sequence[Size]) -> list[tuple[int, Size, Size]] | None:
    """An axis as dimensions of the array, sizes and steps along them."""
    size, stride = axis
    for dimension, (room, place) in enumerate(zip(shape, steps, strict=True)):
        step = divided(stride, place)
        if step is None or room == ONE:
            continue
        left = divided(room, step)
        if left is None or left == size or _fits(size, left):
            return [(dimension, size, step)]
        outer, over = divided(size, left), times(stride, left)
        if outer is None or over is None:
            return None
        first = _dimensions((outer, over), shape, steps)
        return None if first is None else [*first, (dimension, left, step)]
    return None


def _length(axes: list[Axis]) -> Size | None:
    """Length of the interval that axes cover, the sum of their multiples; None if there are gaps."""
    reach = ONE
    rest = list(axes)
    while rest:
        found = next((axis for axis in rest if axis[1] == reach), None)
        if found is None or (following := times(reach, found[0])) is None:
            return None
        rest.remove(found)
        reach = following
    return reach


def disjoint(first: Box, second: Box) -> bool:
    """Whether two boxes surely have no element in common."""
    for (start, length), (other, size) in zip(first, second, strict=True):
        for low, far, high in ((start, length, other), (other, size, start)):
            gap = add(high, add(low, far), -1)  # ≥ 0 if the first ends before the second begins
            if gap.constant >= 0 and all(factor >= 0 for _, factor in gap.factors):
                return True
    return False


def contains(outer: Box, inner: Box, shape: Sequence[Size]) -> bool:
    """Whether a box surely has all elements of another one."""
    for (start, length), (other, size), full in zip(outer, inner, shape, strict=True):
        if (start, length) == (other, size) or (start == ZERO and length == full):
            continue
        if any(part.factors for part in (start, length, other, size)):
            return False
        inside = start.constant <= other.constant and other.constant + size.constant <= start.constant + length.constant
        if not inside:
            return False
    return True


def share(box: Box, shape: Sequence[Size]) -> Fraction | None:
    """Which share of all elements a box has; None if it depends on the sizes of a call."""
    made = Fraction(1)
    for (_, length), size in zip(box, shape, strict=True):
        if length == size:
            continue
        if length.factors or size.factors:
            return None
        made *= Fraction(length.constant, size.constant)
    return made


def merged_axes(sizes: Sequence[Size], strides: Sequence[Size]) -> tuple[Axis, ...]:
    """Axes joined where one goes on from the other."""
    return merged(tuple(zip(sizes, strides, strict=True)))
