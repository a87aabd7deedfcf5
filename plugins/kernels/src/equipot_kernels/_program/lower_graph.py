"""Makes nodes, each only once: the same operation on the same arguments gives the same node."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from equipot_kernels._program.ir import DType, Size
from equipot_kernels._program.lower_refs import (
    BuildNode,
    CallNode,
    ConstantNode,
    Dim,
    GemmNode,
    InputNode,
    Load,
    Node,
    Part,
    PointNode,
    ResultNode,
    View,
    merged,
    refined,
    regrouped,
    row_major,
    shifted,
    strides_in,
)
from equipot_kernels._program.lower_sizes import ONE, ZERO, product
from equipot_kernels._program.record import refuse

Shape = Sequence[Size]


def key_of(load: Load) -> tuple[Any, ...]:
    """Equal for loads of the same elements."""
    return (id(load.node), load.offset, load.strides)


class Graph:
    """A calculation."""

    def __init__(self) -> None:
        self._known: dict[tuple[Any, ...], Node] = {}
        self.inputs: list[InputNode] = []
        self.line = ""
        """Where the operation at hand comes from, for messages."""

    def _once(self, key: tuple[Any, ...], make: Callable[[], Node]) -> Any:
        if key not in self._known:
            self._known[key] = make()
        return self._known[key]

    def numel(self, shape: Shape) -> Size:
        """Number of elements.

        Raises:
            NotTraceable: If it is not linear in the symbols.
        """
        made = product(shape)
        if made is None:
            raise refuse("a tensor's size is a product of two sizes that differ between calls", self.line)
        return made

    # ------------------------------------------------------------- leaves

    def input(self, shape: Shape, dtype: DType) -> View:
        """The next argument of the program."""
        node = InputNode(dtype, self.numel(shape), len(self.inputs))
        self.inputs.append(node)
        return self.view(node, shape)

    def array(self, value: np.ndarray[Any, Any], dtype: DType) -> View:
        """A constant array."""
        shape = tuple(Size(size) for size in value.shape)
        if not value.size:
            return self.build(shape, dtype, ())
        if value.size == 1:
            return self.expand(self.constant(value.reshape(()).item(), dtype), shape)
        key = ("array", dtype, value.shape, value.tobytes())
        node = self._once(key, lambda: ConstantNode(dtype, self.numel(shape), np.ascontiguousarray(value)))
        return self.view(node, shape)

    def constant(self, value: float, dtype: DType) -> View:
        """A number, as a tensor without dimensions."""
        if dtype in ("int64", "bool"):
            value = int(value) if dtype == "int64" else int(bool(value))
        else:
            value = float(np.dtype(dtype).type(value))
        key = ("constant", dtype, repr(value))
        return View(self._once(key, lambda: PointNode(dtype, ONE, "constant", (), (), value)), ZERO, ())

    def view(self, node: Node, shape: Shape) -> View:
        """All elements of a node in order."""
        strides = row_major(shape)
        if strides is None:
            raise refuse("a tensor's size is a product of two sizes that differ between calls", self.line)
        pairs = zip(shape, strides, strict=True)
        return View(node, ZERO, tuple(((size, stride),) if size != ONE else () for size, stride in pairs))

    # -------------------------------------------------------------- views

    def expand(self, view: View, shape: Shape) -> View:
        """Repeat along new dimensions and those of size 1."""
        dims = [()] * (len(shape) - len(view.dims)) + list(view.dims)
        made = [((size, ZERO),) if dim == () and size != ONE else dim for dim, size in zip(dims, shape, strict=True)]
        return View(view.node, view.offset, tuple(made))

    def reshape(self, view: View, shape: Shape) -> View:
        """Other dimensions for the same elements; copied if an axis cannot be split that way."""
        dims = regrouped(view.axes, shape)
        if dims is None:
            dims = regrouped((source := self.copied(view)).axes, shape)
            view = source
        if dims is None:
            raise refuse("a tensor is reshaped in a way that depends on its sizes", self.line)
        return View(view.node, view.offset, dims)

    def copied(self, view: View) -> View:
        """The same tensor as a node of its own."""
        return self.point("copy", [view], view.node.dtype, always=True)

    def plain(self, view: View, dimension: int) -> View:
        """The view with at most one axis in a dimension; copied if it has more."""
        return view if len(merged(view.dims[dimension])) <= 1 else self.copied(view)

    # ------------------------------------------------------------- points

    def point(self, op: str, views: Sequence[View], dtype: DType, value: Any = 0, *, always: bool = False) -> View:
        """One operation on every element, with the rules of broadcasting.

        Args:
            op: A key of ``ir.OPS``.
            views: Its arguments.
            dtype: Type of its result.
            value: As in ``ir.Step``.
            always: Make a node even if there is nothing to compute.
        """
        if op == "copy" and views[0].node.dtype == dtype and not always:
            return views[0]
        shape = broadcast([view.shape for view in views])
        views = [self.expand(view, shape) for view in views]
        if not always and (same := _simpler(op, views)) is not None:
            return same
        dims = self._common(views, shape)
        if dims is None:
            views = [self.copied(view) if any(len(merged(d)) > 1 for d in view.dims) else view for view in views]
            dims = self._common(views, shape)
        if dims is None:
            raise refuse("tensors are combined in a way that depends on their sizes", self.line)
        space = tuple(size for dim in dims for size in dim)
        loads = tuple(self._load(view, dims) for view in views)
        key = (op, dtype, repr(value), space, tuple(key_of(load) for load in loads))
        node = self._once(key, lambda: PointNode(dtype, self.numel(shape), op, space, loads, value))
        return self.view(node, shape)

    def _common(self, views: Sequence[View], shape: Shape) -> list[tuple[Size, ...]] | None:
        """Sizes of axes, for each dimension, that split those of all views."""
        made = []
        for number, size in enumerate(shape):
            sizes: tuple[Size, ...] | None = (size,) if size != ONE else ()
            for view in views:
                axes = merged(view.dims[number])
                sizes = refined(sizes, [s for s, _ in axes]) if sizes is not None and len(axes) > 1 else sizes
            if sizes is None:
                return None
            made.append(sizes)
        return made

    def _load(self, view: View, dims: Sequence[tuple[Size, ...]]) -> Load:
        strides: list[Size] = []
        for dim, sizes in zip(view.dims, dims, strict=True):
            axes = merged(dim)
            found = strides_in([s for s, _ in axes], [s for _, s in axes], sizes)
            if found is None:
                raise refuse("tensors are combined in a way that depends on their sizes", self.line)
            strides += found
        return Load(view.node, view.offset, tuple(strides))

    def gather(self, x: View, dimension: int, index: View) -> View:
        """The rows of x, along a dimension, whose numbers are in an int64 tensor."""
        x = self.plain(x, dimension)
        axes = merged(x.dims[dimension])
        before, after = x.dims[:dimension], x.dims[dimension + 1 :]
        shape = (*x.shape[:dimension], *index.shape, *x.shape[dimension + 1 :])
        row = axes[0][1] if axes else ZERO
        if row == ZERO:
            return self.expand(View(x.node, x.offset, (*before, *[()] * len(index.dims), *after)), shape)
        flat = View(x.node, x.offset, (*before, *_still(index.dims), *after))
        rows = View(index.node, index.offset, (*_still(before), *index.dims, *_still(after)))
        space = tuple(size for size, _ in flat.axes)
        loads = (flat.load, rows.load)
        key = ("gather", space, row, *(key_of(load) for load in loads))
        numel = self.numel(shape)
        node = self._once(key, lambda: PointNode(x.node.dtype, numel, "gather", space, loads, row))
        return self.view(node, shape)

    def iota(self, size: Size) -> View:
        """0, 1, 2, … as int64."""
        node = self._once(("iota", size), lambda: PointNode("int64", size, "iota", (size,), (), 0))
        return self.view(node, (size,))

    # ------------------------------------------------------ other results

    def build(self, shape: Shape, dtype: DType, parts: Sequence[Part]) -> View:
        """Zeros, then parts added or put in place."""
        key = ("build", dtype, tuple(shape), tuple(_part_key(part) for part in parts))
        node = self._once(key, lambda: BuildNode(dtype, self.numel(shape), tuple(shape), tuple(parts)))
        return self.view(node, shape)

    def part(self, view: View, shape: Shape, starts: Sequence[Size], *, add: bool = True) -> Part:
        """A part that covers a box of an array of a shape, from an index along each dimension."""
        steps = row_major(shape)
        assert steps is not None  # noqa: S101 - build has checked it
        offset = ZERO
        strides: list[Size] = []
        for dim, start, step in zip(view.dims, starts, steps, strict=True):
            offset = self._moved(offset, step, start)
            strides += self._split(step, dim)
        return Part(tuple(size for size, _ in view.axes), view.load, offset, tuple(strides), add=add)

    def _moved(self, offset: Size, stride: Size, by: Size) -> Size:
        moved = shifted(offset, stride, by)
        if moved is None:
            raise refuse("the place of a slice is a product of two sizes that differ between calls", self.line)
        return moved

    def _split(self, step: Size, dim: Dim) -> tuple[Size, ...]:
        """Strides over the axes of a dimension along which an array goes by steps."""
        sizes = tuple(size for size, _ in dim)
        found = strides_in([self.numel(sizes)] if sizes else [], [step] if sizes else [], sizes)
        if found is None:
            raise refuse("tensors are combined in a way that depends on their sizes", self.line)
        return found

    def summed(self, view: View, dimensions: Sequence[int]) -> View:
        """Sum over dimensions, which stay with size 1."""
        shape = tuple(ONE if i in dimensions else size for i, size in enumerate(view.shape))
        if shape == view.shape:
            return view
        steps = row_major(shape)
        assert steps is not None  # noqa: S101 - shorter than the view's
        strides: list[Size] = []
        for number, (dim, step) in enumerate(zip(view.dims, steps, strict=True)):
            strides += [ZERO] * len(dim) if number in dimensions else self._split(step, dim)
        part = Part(tuple(size for size, _ in view.axes), view.load, ZERO, tuple(strides))
        return self.build(shape, view.node.dtype, (part,))

    def scattered(self, base: View | None, dimension: int, index: View, values: View, shape: Shape) -> View:
        """Add values to the rows, along a dimension, whose numbers are in a tensor of one dimension."""
        steps = row_major(shape)
        if steps is None:
            raise refuse("a tensor's size is a product of two sizes that differ between calls", self.line)
        dims = list(values.dims)
        if [size for size, _ in dims[dimension]] != [size for size, _ in index.dims[0]]:
            values, index = self.copied(values), self.copied(index)
            dims = list(values.dims)
        strides: list[Size] = []
        for number, (dim, step) in enumerate(zip(dims, steps, strict=True)):
            strides += [ZERO] * len(dim) if number == dimension else self._split(step, dim)
        rows = View(
            index.node, index.offset, (*_still(dims[:dimension]), index.dims[0], *_still(dims[dimension + 1 :]))
        )
        part = Part(
            tuple(size for size, _ in values.axes),
            values.load,
            ZERO,
            tuple(strides),
            rows.load,
            steps[dimension],
        )
        start = [] if base is None else [self.part(base, shape, [ZERO] * len(shape))]
        return self.build(shape, values.node.dtype, (*start, part))

    def gemm(self, a: View, b: View, scale: float = 1.0) -> View:
        """a·b for matrices, or for equally many matrices."""
        shape = (*a.shape[:-1], b.shape[-1])
        key = (
            "gemm",
            a.node.dtype,
            scale,
            a.shape,
            b.shape,
            a.offset,
            b.offset,
            id(a.node),
            id(b.node),
            a.dims,
            b.dims,
        )
        node = self._once(key, lambda: GemmNode(a.node.dtype, self.numel(shape), a, b, scale))
        return self.view(node, shape)

    def call(
        self, key: Any, call: Any, arguments: Sequence[View], results: Sequence[tuple[Shape, DType]]
    ) -> list[View]:
        """A call of something that gives several tensors."""
        full = ("call", key, tuple((id(view.node), view.offset, view.dims) for view in arguments))

        def make() -> Node:
            node = CallNode("bool", ZERO, call, tuple(arguments))
            node.results = tuple(ResultNode(dtype, self.numel(shape), node) for shape, dtype in results)
            return node

        node = self._once(full, make)
        return [self.view(made, shape) for made, (shape, _) in zip(node.results, results, strict=True)]


def broadcast(shapes: Sequence[Shape]) -> tuple[Size, ...]:
    """The shape that all fit into."""
    rank = max(len(shape) for shape in shapes)
    padded = [[ONE] * (rank - len(shape)) + list(shape) for shape in shapes]
    return tuple(next((size for size in sizes if size != ONE), ONE) for sizes in zip(*padded, strict=True))


def is_constant(view: View, *values: float) -> bool:
    """Whether all elements are one number, and this one of the given."""
    node = view.node
    return isinstance(node, PointNode) and node.op == "constant" and (not values or node.value in values)


def _simpler(op: str, views: Sequence[View]) -> View | None:
    """An argument that is the result, as x·1 and x + 0 are."""
    if op in ("mul", "div") and is_constant(views[1], 1):
        return views[0]
    if op == "mul" and is_constant(views[0], 1):
        return views[1]
    if op in ("add", "sub") and is_constant(views[1], 0):
        return views[0]
    if op == "add" and is_constant(views[0], 0):
        return views[1]
    return None


def _still(dims: Sequence[Dim]) -> tuple[Dim, ...]:
    """The same dimensions, along which nothing changes."""
    return tuple(tuple((size, ZERO) for size, _ in dim) for dim in dims)


def _part_key(part: Part) -> tuple[Any, ...]:
    index = None if part.index is None else key_of(part.index)
    return (part.space, key_of(part.value), part.offset, part.strides, index, part.index_stride, part.add)
