"""Nodes of a calculation, and views of their results.

A node computes one array without holes, in row-major order of its shape. A *view* of it has dimensions made of *axes*,
pairs of size and stride in elements of the node. A dimension of several axes is one that torch could not express
without a copy, for example atoms times components out of a wider row. Sizes of 1 have no axis.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from equipot_kernels._program.ir import DType, Size
from equipot_kernels._program.lower_sizes import ONE, ZERO, add, divided, product, times

Axis = tuple[Size, Size]
Dim = tuple[Axis, ...]


@dataclass(eq=False)
class Node:
    """Something that makes an array."""

    dtype: DType
    size: Size
    """Number of elements."""


@dataclass(eq=False)
class InputNode(Node):
    """An argument of the program."""

    number: int = 0


@dataclass(eq=False)
class ConstantNode(Node):
    """An array that is part of the program."""

    array: Any = None


@dataclass(frozen=True)
class Load:
    """An element of a node for every point of an index space."""

    node: Node
    offset: Size
    strides: tuple[Size, ...]


@dataclass(eq=False)
class PointNode(Node):
    """One operation at every point of an index space."""

    op: str = ""
    space: tuple[Size, ...] = ()
    loads: tuple[Load, ...] = ()
    value: Any = 0
    """As in ``ir.Step``. For ``gather``, loads are the rows' first elements and their numbers, value the Size of a row:
    the distance in elements from one row to the next."""


@dataclass(frozen=True)
class Part:
    """What is written into an array that is built from parts."""

    space: tuple[Size, ...]
    value: Load
    offset: Size
    strides: tuple[Size, ...]
    index: Load | None = None
    """Numbers of rows, for a sum by rows."""
    index_stride: Size = ZERO
    add: bool = True
    """Whether it is added to what is there (zeros at first), or replaces it."""


@dataclass(eq=False)
class BuildNode(Node):
    """Zeros, then its parts in order."""

    shape: tuple[Size, ...] = ()
    parts: tuple[Part, ...] = ()


@dataclass(eq=False)
class GemmNode(Node):
    """scale · a·b, with shape [rows, columns], or [count, rows, columns]."""

    a: View | None = None
    b: View | None = None
    scale: float = 1.0


@dataclass(eq=False)
class CallNode(Node):
    """A call of a kernel op or a torch operation, which has several results; its own size is 0."""

    call: Any = None
    arguments: tuple[View, ...] = ()
    results: tuple[ResultNode, ...] = ()


@dataclass(eq=False)
class ResultNode(Node):
    """A result of a call."""

    call: CallNode | None = field(default=None, repr=False)


@dataclass(frozen=True)
class View:
    """A tensor."""

    node: Node
    offset: Size
    dims: tuple[Dim, ...]

    @property
    def shape(self) -> tuple[Size, ...]:
        """Size of each dimension."""
        return tuple(size_of(dim) for dim in self.dims)

    @property
    def axes(self) -> Dim:
        """All axes in order."""
        return tuple(axis for dim in self.dims for axis in dim)

    @property
    def load(self) -> Load:
        """Its elements for the index space of its axes."""
        return Load(self.node, self.offset, tuple(stride for _, stride in self.axes))

    @property
    def whole(self) -> bool:
        """Whether it has all elements of its node, in order."""
        axes = merged(self.axes)
        return self.offset == ZERO and (axes == ((self.node.size, ONE),) or (self.node.size == ONE and axes == ()))

    @property
    def contiguous(self) -> bool:
        """Whether its elements follow each other in its node."""
        axes = merged(self.axes)
        return not axes or (len(axes) == 1 and axes[0][1] == ONE)


def size_of(dim: Dim) -> Size:
    """Number of indices of a dimension, which is linear in the symbols for every dimension of a torch tensor."""
    made = product([size for size, _ in dim])
    if made is None:
        raise ValueError(dim)
    return made


def merged(axes: Sequence[Axis]) -> Dim:
    """The axes with neighbours joined where one goes on from the other."""
    made: list[Axis] = []
    for size, stride in axes:
        if size == ONE:
            continue
        if made and made[-1][1] == times(size, stride) and (joined := times(made[-1][0], size)) is not None:
            made[-1] = (joined, stride)
        else:
            made.append((size, stride))
    return tuple(made)


def regrouped(axes: Sequence[Axis], shape: Sequence[Size]) -> tuple[Dim, ...] | None:
    """The axes as dimensions of other sizes, split where necessary; None if an axis cannot be split that way."""
    if any(size == ZERO for size in shape):
        return tuple(((size, ZERO),) if size != ONE else () for size in shape)
    pending = list(merged(axes))
    dims: list[Dim] = []
    for target in reversed(shape):
        need, dim = target, []
        while need != ONE:
            if not pending:
                return None
            size, stride = pending.pop()
            if (rest := divided(need, size)) is not None:
                dim.append((size, stride))
                need = rest
            elif (outer := divided(size, need)) is not None and (jump := times(need, stride)) is not None:
                dim.append((need, stride))
                pending.append((outer, jump))
                need = ONE
            else:
                return None
        dims.append(tuple(reversed(dim)))
    return tuple(reversed(dims)) if not pending else None


def refined(first: Sequence[Size], second: Sequence[Size]) -> tuple[Size, ...] | None:
    """The coarsest index space that splits both; None if there is none."""
    a, b = [s for s in first if s != ONE], [s for s in second if s != ONE]
    made: list[Size] = []
    while a and b:
        x, y = a.pop(), b.pop()
        if x == y:
            made.append(x)
        elif (rest := divided(x, y)) is not None:
            made.append(y)
            a.append(rest)
        elif (rest := divided(y, x)) is not None:
            made.append(x)
            b.append(rest)
        else:
            return None
    return None if a or b else tuple(reversed(made))


def strides_in(space: Sequence[Size], strides: Sequence[Size], finer: Sequence[Size]) -> tuple[Size, ...] | None:
    """Strides over a finer index space; None where a product of sizes is not linear."""
    made: list[Size] = []
    rest = list(finer)
    for size, stride in reversed(list(zip(space, strides, strict=True))):
        need, step = size, stride
        while need != ONE:
            if not rest:
                return None
            part = rest.pop()
            left = ONE if need == part else divided(need, part)
            if left is None:
                return None
            made.append(step)
            need = left
            jump = times(part, step) if left != ONE else ZERO
            if jump is None:
                return None
            step = jump
    return tuple(reversed(made)) if not rest else None


def row_major(space: Sequence[Size]) -> tuple[Size, ...] | None:
    """Strides of an array without holes; None if they are not linear in the symbols."""
    made: list[Size] = []
    step: Size | None = ONE
    for size in reversed(space):
        if step is None:
            return None
        made.append(step)
        step = times(step, size)
    return tuple(reversed(made))


def shifted(offset: Size, stride: Size, by: Size) -> Size | None:
    """An offset moved by some strides; None if it is not linear."""
    moved = times(stride, by)
    return None if moved is None else add(offset, moved)
